import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { withWorkFolder } from '../context.js';
import { binarySize, soleFile } from '../datasets/dataset.js';
import type { Dataset } from '../datasets/dataset.js';
import { watchMemory } from '../measure/memory.js';
import { Subject } from '../subject/client.js';
import type { LoadTarget } from '../subject/models.js';
import { ratio, value } from './findings.js';
import type { Row, Series } from './row.js';

const MIB = 2 ** 20;
const WHERE = { host: 'into host memory', slots: 'through slots' } as const satisfies Record<LoadTarget, string>;

export const modelMemoryRow: Row = {
  id: 'model-memory',
  title: 'Memory beside a model while it is loaded',
  async measure(context) {
    const { flags, library, log } = context;
    return withWorkFolder(context, 'model-memory', async (dir) => {
      const measured: { name: string; samples: number[] }[] = [];
      for (const bytes of flags.sizes.modelBytes) {
        const data = await library.weights('bf16', bytes);
        for (const target of ['host', 'slots'] as const) {
          const name = nameOf(bytes, target);
          const peak = (await peakOf(dir, data, target)) / MIB;
          log(`  ${name}: ${Math.round(peak)} MiB`);
          measured.push({ name, samples: [peak] });
        }
      }
      const series: Series = {
        title: 'Peak of resident memory without what is shared with consumers',
        unit: 'MiB',
        measurements: measured.map((one) => ({ ...one, ours: true })),
      };
      const [least, most] = [flags.sizes.modelBytes[0]!, flags.sizes.modelBytes.at(-1)!];
      return {
        dataset: `models of bf16 weights: ${flags.sizes.modelBytes.map(binarySize).join(' / ')}`,
        method:
          'A fresh process with two workers opens a store and loads a model, verified: into host memory, or through the slots that a device of its own would take it from. Sampled every 20 ms: anonymous memory and mapped files, threads and Node itself included; the memory that consumers share (the model) left out. One run each.',
        series: [series],
        findings: [
          ...value(series, nameOf(most, 'host'), `beside the model, ${nameOf(most, 'host')}`, 'model/memory'),
          ...value(series, nameOf(most, 'slots'), `beside the model, ${nameOf(most, 'slots')}`, 'model/memory'),
          ...(most > least ? ratio(series, nameOf(most, 'host'), nameOf(least, 'host'), 'large over small') : []),
        ],
        missing: [],
      };
    });
  },
};

const nameOf = (bytes: number, target: LoadTarget): string => `${binarySize(bytes)} ${WHERE[target]}`;

async function peakOf(dir: string, data: Dataset, target: LoadTarget): Promise<number> {
  const store = join(dir, 'store');
  await rm(store, { recursive: true, force: true });
  {
    await using writer = new Subject();
    await writer.call('openStore', store, { workers: 2 });
    await writer.call('storeFolder', store, data.dir);
  }
  await using subject = new Subject();
  const watch = watchMemory(subject.pid);
  await subject.call('openStore', store, { workers: 2 });
  await subject.call('loadModel', store, basename(await soleFile(data)), target, true);
  return (await watch.stop()).own;
}
