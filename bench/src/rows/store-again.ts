import { join } from 'node:path';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import { soleFile } from '../datasets/dataset.js';
import type { Dataset } from '../datasets/dataset.js';
import { interleave } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import type { TargetId } from '../targets.js';
import { openFreshStore, storeAgain } from './cairn.js';
import type { InProcess } from './cairn.js';
import { rate, ratio } from './findings.js';
import type { Row, RowFindings } from './row.js';
import { fill, storeAgainBy } from './tools.js';

const ONE_WORKER = 'cairn, in process, 1 worker';
const TWO_WORKERS = 'cairn, in process, 2 workers';
const PLAIN_READ = 'fs.read of the source';

export const storeWeightsAgainRow: Row = {
  id: 'store-again',
  title: 'Store the same weights again',
  measure: async (context) =>
    measure(context, await context.library.weights('bf16', context.flags.sizes.weightsBytes), 'store-again/weights'),
};

export const storeGenericAgainRow: Row = {
  id: 'store-again-generic',
  title: 'Store the same generic bytes again',
  measure: async (context) => measure(context, await context.library.generic(context.flags.sizes.genericBytes), 'store-again/generic'),
};

function measure(context: Context, data: Dataset, target: TargetId): Promise<RowFindings> {
  const { flags, peers, log } = context;
  return withWorkFolder(context, 'store-again', async (dir) => {
    await using one = new Subject();
    await using two = new Subject();
    const contestants: InProcess[] = [
      { context, subject: one, name: ONE_WORKER, dir: join(dir, 'one'), workers: 1 },
      { context, subject: two, name: TWO_WORKERS, dir: join(dir, 'two'), workers: 2 },
    ];
    for (const cairn of contestants) {
      await openFreshStore(cairn);
      await cairn.subject.call('storeFolder', cairn.dir, data.dir);
    }
    for (const peer of peers.available) if (peer.storeAgain !== undefined) await fill(peer, dir, data);
    const file = await soleFile(data);
    const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
      ...contestants.map((cairn) => storeAgain(cairn, data)),
      { name: PLAIN_READ, command: 'fs.readSync, 1 MiB at a time into the same buffer', run: () => one.call('readBlocks', file) },
      ...peers.available.flatMap((peer) => storeAgainBy(peer, dir, data)),
    ]);
    return {
      dataset: data.description,
      method:
        'From the call (or the start of the command) to the end of the commit; everything is stored already, and every byte of the source is read, cut and hashed again: no cache of names and times is asked. Source and repositories in the page cache.',
      series: [time],
      findings: [
        ...rate(time, ONE_WORKER, 'rate, 1 worker', target),
        ...rate(time, TWO_WORKERS, 'rate, 2 workers'),
        ...ratio(
          time,
          ONE_WORKER,
          TWO_WORKERS,
          'two workers against one',
          target === 'store-again/weights' ? 'workers/store-again' : undefined,
        ),
        ...ratio(time, ONE_WORKER, PLAIN_READ, '1 worker: time over a plain read of the source'),
        ...['borg', 'restic', 'casync'].flatMap((peer) =>
          ratio(time, peer, TWO_WORKERS, `times as fast as ${peer}, in process, 2 workers`),
        ),
      ],
      missing: peers.missing,
    };
  });
}
