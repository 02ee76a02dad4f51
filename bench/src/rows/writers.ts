import { join } from 'node:path';
import { withWorkFolder } from '../context.js';
import { settle } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { median } from '../measure/statistics.js';
import { Subject } from '../subject/client.js';
import { ratio, value } from './findings.js';
import type { Row, Series } from './row.js';

const CROWD = 8;
const ALONE = '1 process';
const TOGETHER = `${CROWD} processes`;
const FILES = 1000;

export const writersRow: Row = {
  id: 'writers',
  title: 'Many processes that commit to one volume',
  async measure(context) {
    const { flags, log } = context;
    const { commits } = flags.sizes;
    return withWorkFolder(context, 'writers', async (dir) => {
      const store = join(dir, 'store');
      await using crowd = gather();
      const { writers } = crowd;
      const [first] = writers as [Subject];
      await first.call('openStore', store, {});
      await first.call('growVolume', store, FILES);
      for (const writer of writers.slice(1)) await writer.call('openStore', store, {});
      // Each names its files by a number of its own, so that no two ever write the same one.
      const elapsed = new Map<number, number[]>();
      const commit = async (count: number, round: number): Promise<number> => {
        const working = writers.slice(0, count);
        const start = performance.now();
        const times = await Promise.all(
          working.map((writer, i) => writer.call('commitOneFile', store, commits, round * CROWD * 2 + (count === 1 ? CROWD : 0) + i)),
        );
        const each = (performance.now() - start) / times.flat().length;
        elapsed.set(count, [...(elapsed.get(count) ?? []), each]);
        return median(times.flat());
      };
      await commit(CROWD, flags.rounds);
      elapsed.clear();
      const contestant = (name: string, count: number): Contestant => ({
        name,
        ours: true,
        prepare: () => settle(dir, 0),
        run: (round) => commit(count, round),
      });
      const time = await interleave({ title: 'Time per commit', unit: 'ms', rounds: flags.rounds, log }, [
        contestant(ALONE, 1),
        contestant(TOGETHER, CROWD),
      ]);
      const together: Series = {
        title: 'Time in all, by commits',
        unit: 'ms',
        measurements: [ALONE, TOGETHER].map((name, i) => ({ name, ours: true, samples: elapsed.get([1, CROWD][i]!)! })),
      };
      return {
        dataset: `a volume of ${FILES.toLocaleString('en')} files`,
        method: `Each process does ${commits} commits of a new file of 4 KiB in a row, durable, as in the commit row; a sample is the median over all of them. With ${CROWD} processes each commit is rebased on those of the others. Time in all is that of the slowest process, opening its volume included, by the commits of all.`,
        series: [time, together],
        findings: [
          ...ratio(time, TOGETHER, ALONE, `time per commit: ${TOGETHER} over ${ALONE}`, 'writers/growth'),
          ...value(time, TOGETHER, `one commit among ${TOGETHER}`),
          ...ratio(together, TOGETHER, ALONE, `time in all, by commits: ${TOGETHER} over ${ALONE}`),
        ],
        missing: [],
      };
    });
  },
};

/** The processes, which end together. */
function gather(): AsyncDisposable & { writers: Subject[] } {
  const writers = Array.from({ length: CROWD }, () => new Subject());
  return {
    writers,
    async [Symbol.asyncDispose]() {
      await Promise.all(writers.map((writer) => writer[Symbol.asyncDispose]()));
    },
  };
}
