import { join } from 'node:path';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import type { Dataset } from '../datasets/dataset.js';
import { binarySize } from '../datasets/dataset.js';
import { bytesOnDisk } from '../measure/conditions.js';
import { runCommand } from '../peers/run-command.js';
import { Subject } from '../subject/client.js';
import { value } from './findings.js';
import type { Measurement, Row, Series } from './row.js';
import { fill, repository } from './tools.js';

export const sizeRow: Row = {
  id: 'size',
  title: 'Bytes on disk, by kind of weights',
  async measure(context) {
    const { flags, library, peers } = context;
    const bytes = flags.sizes.sizeRowBytes;
    const bf16 = await library.weights('bf16', bytes);
    const fp32 = await library.weights('fp32', bytes);
    const tuned = await library.weights('bf16-tuned', bytes);
    const series = [
      await stored(context, 'bf16', bf16),
      await stored(context, 'fp32', fp32),
      await stored(context, 'fine-tune of a stored base', tuned, bf16),
    ];
    const [ofBf16, ofFp32, ofTuned] = series as [Series, Series, Series];
    return {
      dataset: `Gaussian weights, ${binarySize(bytes)} of each kind; the fine-tune differs from its base by r = 0.01`,
      method:
        "Blocks that the store's folder takes after the commit, as `du` counts them, over the bytes put in; for the fine-tune, what it adds to a store of its base.",
      series,
      findings: [
        ...value(ofBf16, 'cairn, fast', 'bf16', 'size/bf16'),
        ...value(ofFp32, 'cairn, fast', 'fp32', 'size/fp32'),
        ...value(ofTuned, 'cairn, fast', 'fine-tune after its base', 'size/fine-tune'),
      ],
      missing: peers.missing,
    };
  },
};

/** What `data` takes in a store of its own, or adds to one that holds `base`. */
async function stored(context: Context, title: string, data: Dataset, base?: Dataset): Promise<Series> {
  const before = base === undefined ? [] : [base];
  return withWorkFolder(context, 'size', async (dir) => {
    const measurements: Measurement[] = [];
    await using subject = new Subject();
    for (const compression of ['none', 'fast', 'max'] as const) {
      const sizes = await sizesInCairn(subject, join(dir, compression), compression, [...before, data]);
      measurements.push({ name: `cairn, ${compression}`, ours: true, samples: [growth(sizes) / data.bytes] });
    }
    for (const peer of context.peers.available.filter(({ storeAgain }) => storeAgain !== undefined)) {
      const repo = repository(dir, peer);
      await fill(peer, dir, before[0] ?? data);
      const sizes = [await bytesOnDisk(repo)];
      if (base !== undefined) {
        await runCommand(peer.store(data.dir, repo, 'second'));
        sizes.push(await bytesOnDisk(repo));
      }
      measurements.push({ name: peer.name, ours: false, samples: [growth(sizes) / data.bytes] });
    }
    return { title, unit: 'of logical', measurements };
  });
}

/** Stores each dataset as the next version of one volume. @returns bytes on disk after each, the store being closed */
async function sizesInCairn(
  subject: Subject,
  dir: string,
  compression: 'none' | 'fast' | 'max',
  versions: readonly Dataset[],
): Promise<number[]> {
  const sizes: number[] = [];
  for (const version of versions) {
    await subject.call('openStore', dir, { workers: 2, compression });
    await subject.call('storeFolder', dir, version.dir);
    await subject.call('closeStore', dir);
    sizes.push(await bytesOnDisk(dir));
  }
  return sizes;
}

function growth(sizes: readonly number[]): number {
  return (sizes.at(-1) ?? 0) - (sizes.at(-2) ?? 0);
}
