import { soleFile } from '../datasets/dataset.js';
import { warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import { rate } from './findings.js';
import type { Row } from './row.js';

const READ = 'fs.readSync, 1 MiB at a time';
const COPY = 'memory copy';
const HASH = 'BLAKE3, native addon, 1 MiB blocks';

export const limitsRow: Row = {
  id: 'limits',
  title: 'What the parts reach alone on this machine',
  async measure(context) {
    const { flags, library, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    const file = await soleFile(data);
    await using subject = new Subject();
    const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
      { name: READ, prepare: () => warm(data.dir), run: () => subject.call('readBlocks', file) },
      { name: COPY, run: () => subject.call('copyMemory', data.bytes) },
      { name: HASH, run: () => subject.call('hashBlocks', data.bytes) },
    ]);
    return {
      dataset: data.description,
      method:
        'One thread each, memory reused. A store that reads and hashes every byte cannot be faster on one core than the first and the last together: targets in GB/s are to be read against these.',
      series: [time],
      findings: [...rate(time, READ, 'read from the page cache'), ...rate(time, COPY, 'memory copy'), ...rate(time, HASH, 'BLAKE3')],
      missing: [],
    };
  },
};
