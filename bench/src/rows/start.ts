import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withWorkFolder } from '../context.js';
import { soleFile } from '../datasets/dataset.js';
import { settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { runCommand } from '../peers/run-command.js';
import type { Command } from '../peers/run-command.js';
import { cairnCommand } from './cairn.js';
import { difference, value } from './findings.js';
import type { Row } from './row.js';

const NODE = 'node -e 0';
const HELP = 'cairn --help';
const VERSION = 'cairn --version';
const LIST = 'cairn volume list';
const FIRST_BYTE = 'cairn put, to the first byte stored';
const POLL_INTERVAL_MS = 1;

export const startRow: Row = {
  id: 'start',
  title: 'Start of the command',
  async measure(context) {
    const { flags, library, log } = context;
    const data = await library.weights('bf16', flags.sizes.sizeRowBytes);
    const file = await soleFile(data);
    return withWorkFolder(context, 'start', async (dir) => {
      const empty = join(dir, 'empty');
      await runCommand(await cairnCommand('--store', empty, 'volume', 'create', 'models'));
      const store = join(dir, 'store');
      const firstByte: Contestant = {
        name: FIRST_BYTE,
        ours: true,
        command: 'cairn --store REPO put models FILE',
        async prepare() {
          await rm(store, { recursive: true, force: true });
          await runCommand(await cairnCommand('--store', store, 'volume', 'create', 'models'));
          await warm(data.dir);
          await settle(dir, data.bytes);
        },
        run: async () => timeToFirstByte(await cairnCommand('--store', store, '-q', 'put', 'models', file, '/'), join(store, 'packs')),
      };
      const contestants = [
        starting(NODE, false, { show: NODE, argv: [process.execPath, '-e', '0'] }),
        starting(HELP, true, await cairnCommand('--help')),
        starting(VERSION, true, await cairnCommand('--version')),
        starting(LIST, true, { ...(await cairnCommand('--store', empty, 'volume', 'list')), show: 'cairn --store REPO volume list' }),
        firstByte,
      ];
      for (const contestant of contestants) {
        await contestant.prepare?.(0);
        await contestant.run(0);
      }
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: Math.max(flags.rounds, flags.sizes.starts), log }, contestants);
      return {
        dataset: `an empty store; for the first byte, ${data.description}`,
        method:
          'From the spawn to the exit, without a shell; after one untimed start of each. The first byte is stored when a pack that is being written holds something, looked for every millisecond.',
        series: [time],
        findings: [
          ...difference(time, HELP, NODE, '--help over node -e 0', 'start/help'),
          ...difference(time, VERSION, NODE, '--version over node -e 0'),
          ...difference(time, LIST, NODE, 'volume list over node -e 0'),
          ...value(time, FIRST_BYTE, 'put, to the first byte stored', 'start/first-byte'),
        ],
        missing: [],
      };
    });
  },
};

function starting(name: string, ours: boolean, command: Command): Contestant {
  return { name, ours, command: command.show, run: () => runCommand(command) };
}

/** Runs the command to its end. @returns milliseconds until a file below `packs` held a byte */
async function timeToFirstByte(command: Command, packs: string): Promise<number> {
  const before = await storedFiles(packs);
  const start = performance.now();
  let running = true;
  const finished = runCommand(command).finally(() => (running = false));
  let elapsed: number | undefined;
  // After the end, one more look: a very short command may have come and gone between two of them.
  for (let last = false; elapsed === undefined && !last; await sleep(POLL_INTERVAL_MS)) {
    last = !running;
    if ((await storedFiles(packs)) > before) elapsed = performance.now() - start;
  }
  await finished;
  if (elapsed === undefined) throw new Error('the command stored nothing');
  return elapsed;
}

/** How many files below the folder are not empty. */
async function storedFiles(packs: string): Promise<number> {
  const names = await readdir(packs, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = names.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)).catch(() => undefined));
  return (await Promise.all(sizes)).filter((file) => file !== undefined && file.size > 0).length;
}
