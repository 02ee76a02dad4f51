import { dirname, join } from 'node:path';
import { withWorkFolder } from '../context.js';
import { settle, warm } from '../measure/conditions.js';
import { interleave, type Contestant } from '../measure/rounds.js';
import { runCommand } from '../peers/run-command.js';
import { Subject } from '../subject/client.js';
import { cairnCommand, openFreshStore, type InProcess } from './cairn.js';
import { rate, ratio } from './findings.js';
import type { Row } from './row.js';
import { checkBy, fill } from './tools.js';

const ONE_WORKER = 'cairn, in process, 1 worker';
const TWO_WORKERS = 'cairn, in process, 2 workers';
const COMMAND = 'cairn, as a command';

export const verifyRow: Row = {
  id: 'verify',
  title: 'Check every stored byte of bf16 weights',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    return withWorkFolder(context, 'verify', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      const contestants: InProcess[] = [
        { context, subject: one, name: ONE_WORKER, dir: join(dir, 'one', 'store'), workers: 1 },
        { context, subject: two, name: TWO_WORKERS, dir: join(dir, 'two', 'store'), workers: 2 },
      ];
      for (const cairn of contestants) {
        await openFreshStore(cairn);
        await cairn.subject.call('storeFolder', cairn.dir, data.dir);
      }
      for (const peer of peers.available) if (peer.check !== undefined) await fill(peer, dir, data);
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        ...contestants.map(verify),
        verifyByCommand(join(dir, 'two', 'store')),
        ...peers.available.flatMap((peer) => checkBy(peer, dir)),
      ]);
      return {
        dataset: data.description,
        method:
          'From the call (or the start of the command) until all that is stored was read, decoded and proven by its digest, and all trees were walked. Store and repositories in the page cache. The stores of Cairn hold what they were warmed up with besides.',
        series: [time],
        findings: [
          ...ratio(time, 'restic', TWO_WORKERS, 'times as fast as restic check --read-data', 'verify/restic'),
          ...ratio(time, 'borg', TWO_WORKERS, 'times as fast as borg check --verify-data', 'verify/borg'),
          ...ratio(time, 'restic', COMMAND, 'command against command: times as fast as restic'),
          ...ratio(time, 'borg', COMMAND, 'command against command: times as fast as borg'),
          ...ratio(time, ONE_WORKER, TWO_WORKERS, 'two workers against one'),
          ...rate(time, ONE_WORKER, '1 worker'),
        ],
        missing: peers.missing,
      };
    });
  },
};

function verify(cairn: InProcess): Contestant {
  return {
    name: cairn.name,
    ours: true,
    async prepare() {
      await warm(cairn.dir);
      await settle(dirname(cairn.dir), 0);
    },
    run: () => cairn.subject.call('verifyStore', cairn.dir),
  };
}

function verifyByCommand(store: string): Contestant {
  return {
    name: COMMAND,
    ours: true,
    command: 'cairn --store REPO verify --read-data',
    async prepare() {
      await warm(store);
      await settle(dirname(store), 0);
    },
    run: async () => runCommand(await cairnCommand('--store', store, '-q', 'verify', '--read-data')),
  };
}
