import { rmSync } from 'node:fs';
import { mkdtemp, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tour } from './tour.js';

/** Two gibibytes: three models of 256 MiB, the store, and one version read back, with room to spare. */
const NEEDED_BYTES = 2 * 2 ** 30;

const keep = process.argv.includes('--keep');
const { bavail, bsize } = await statfs(tmpdir());
if (bavail * bsize < NEEDED_BYTES) {
  console.error(`The tour needs 2 GiB in ${tmpdir()} for a minute, and less is free. Point TMPDIR at a folder with more space.`);
  process.exit(1);
}

const dir = await mkdtemp(join(tmpdir(), 'cairn-tour-'));
process.once('exit', () => {
  if (!keep) rmSync(dir, { recursive: true, force: true });
});
for (const [signal, code] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const]) process.once(signal, () => process.exit(code));

const store = await tour(dir);
if (keep) console.log(`\nKept in ${dir}. Look around with the command:\n  npx cairn --store ${store} log llm`);
else console.log('\nThe temporary store is deleted now. `npm start -- --keep` leaves it to look around in.');
