import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';
import { forgeBoot } from '../forge-boot.mjs';
import { say } from '../say.mjs';
import { digestOf, filesOf, inspect } from './inspection.mjs';

/*
 * Mounts a folder again whose owner died, and says what is there: in the folder before and after that, in every version, and in
 * the head after one more commit. `rebooted`: as after a power cut, which this machine only plays.
 */
for await (const line of createInterface({ input: process.stdin })) {
  const { store: dir, folder, volume: name, durable, rebooted } = JSON.parse(line);
  if (rebooted) forgeBoot(dir);
  const before = listing(folder);
  const store = await openStoreOn({ durable }, dir, { workers: 1 });
  const volume = await store.volumes.fromName(name);
  const mount = await volume.mount(folder, { ignore: ['*.part'] });
  const after = listing(folder);
  const { modified, added, removed } = await mount.status();
  // Any change settles whether a commit counts that was cut short: the next one would, and versions would come after they were looked at.
  await (await store.volumes.ephemeral()).close();
  const { versions } = await inspect(store, name);
  await mount.commit();
  await mount.reload();
  const folderAtLast = listing(folder);
  await volume.reload();
  const head = await filesOf(volume);
  const { damage } = await store.verify({ readData: true });
  await mount.close();
  await store.close();
  say('settled', {
    before,
    after,
    status: { modified, added, removed },
    versions,
    folderAtLast,
    head,
    generation: volume.base?.generation ?? 0,
    damage,
  });
}

/** Digests of all files in a folder, but a program's unfinished ones and the mount's own. */
function listing(folder) {
  const files = {};
  for (const path of existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : []) {
    const local = join(folder, path);
    if (path.startsWith('.cairn-mount') || path.endsWith('.part') || !statSync(local).isFile()) continue;
    files[path] = digestOf(readFileSync(local));
  }
  return files;
}
