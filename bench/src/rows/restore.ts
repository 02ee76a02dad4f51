import { join } from 'node:path';
import { withWorkFolder } from '../context.js';
import { interleave } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import { openFreshStore, restore } from './cairn.js';
import type { InProcess } from './cairn.js';
import { ratio } from './findings.js';
import type { Row } from './row.js';
import { fill, restoreBy } from './tools.js';

const ONE_WORKER = 'cairn, in process, 1 worker';
const TWO_WORKERS = 'cairn, in process, 2 workers';

export const restoreRow: Row = {
  id: 'restore',
  title: 'Restore bf16 weights to a folder',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    return withWorkFolder(context, 'restore', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      // A folder for each, since each restores beside its store.
      const contestants: InProcess[] = [
        { context, subject: one, name: ONE_WORKER, dir: join(dir, 'one', 'store'), workers: 1 },
        { context, subject: two, name: TWO_WORKERS, dir: join(dir, 'two', 'store'), workers: 2 },
      ];
      for (const cairn of contestants) {
        await openFreshStore(cairn);
        await cairn.subject.call('storeFolder', cairn.dir, data.dir);
      }
      for (const peer of peers.available) await fill(peer, dir, data);
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        ...contestants.map((cairn) => restore(cairn, data)),
        ...peers.available.map((peer) => restoreBy(peer, dir, data)),
      ]);
      return {
        dataset: data.description,
        method:
          'From the call (or the start of the command) until all files stand in an empty folder; nobody syncs. Store and repositories in the page cache; Cairn verifies every chunk. The result is compared with the source, byte for byte, in the first round.',
        series: [time],
        findings: [
          ...ratio(time, TWO_WORKERS, 'cp', '2 workers: time over cp -r', 'restore/cp'),
          ...ratio(time, ONE_WORKER, 'cp', '1 worker: time over cp -r'),
          ...ratio(time, ONE_WORKER, TWO_WORKERS, 'two workers against one', 'workers/restore'),
          ...['borg', 'restic', 'casync'].flatMap((peer) => ratio(time, peer, TWO_WORKERS, `times as fast as ${peer}`)),
        ],
        missing: peers.missing,
      };
    });
  },
};
