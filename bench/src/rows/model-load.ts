import { basename, dirname } from 'node:path';
import { withWorkFolder } from '../context.js';
import { soleFile } from '../datasets/dataset.js';
import { settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import type { LoadTarget } from '../subject/models.js';
import type { InProcess } from './cairn.js';
import { rate, ratio } from './findings.js';
import type { Row, Series } from './row.js';
import { names, oneAndTwoWorkers } from './verified-reads.js';

const PLAIN = 'fs.read, 8 at once';
const FLOOR = 'fs.readSync and BLAKE3, 1 thread';
const TITLES = { slots: 'Time, into slots', host: 'Time, into host memory' } as const satisfies Record<LoadTarget, string>;

export const modelLoadRow: Row = {
  id: 'model-load',
  title: 'Load a model into memory for inference processes',
  async measure(context) {
    const { flags, library, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    const file = await soleFile(data);
    return withWorkFolder(context, 'model-load', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      const stores = await oneAndTwoWorkers(context, dir, data, [one, two]);
      // Memory, slots and code that were used before, as in a daemon that has been running for a while.
      for (const { subject, dir: store } of stores)
        for (const target of ['slots', 'host'] as const)
          for (const verify of [true, false, true, false]) await subject.call('loadModel', store, basename(file), target, verify);
      const measure = (target: LoadTarget): Promise<Series> =>
        interleave({ title: TITLES[target], unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
          ...stores.flatMap((store) => [loading(store, file, target, true), loading(store, file, target, false)]),
          pipeline(two, file, target),
          ...(target === 'slots' ? [floor(one, file)] : []),
        ]);
      const [slots, host] = [await measure('slots'), await measure('host')];
      return {
        dataset: `${data.description}, stored raw (compression none)`,
        method:
          'From planning until the last byte is where it belongs: in the slots that a device of its own would take it from (8 of 8 MiB, used in turn; nothing is copied out of them), or in host memory that other processes map, sealed. All memory was touched before, by two loads of each kind; packs and the plain file in the page cache. What arrives is compared with the file once. The plain reads have as many in flight as there are slots; reading and digesting 1 MiB after the other is the least that a verified load takes of one core.',
        series: [slots, host],
        findings: [
          ...rate(slots, names.verified(1), 'into slots, verified, 1 worker', 'model/verified'),
          ...rate(slots, names.verified(2), 'into slots, verified, 2 workers'),
          ...ratio(slots, names.verified(1), names.verified(2), 'into slots, verified: two workers against one'),
          ...ratio(slots, FLOOR, names.verified(1), 'into slots, verified, 1 worker: rate over reading and digesting alone'),
          ...ratio(slots, PLAIN, names.unverified(2), 'into slots, unverified: rate over plain fs.read', 'model/unverified'),
          ...rate(host, names.verified(1), 'into host memory, verified, 1 worker'),
          ...rate(host, names.verified(2), 'into host memory, verified, 2 workers'),
          ...ratio(host, PLAIN, names.unverified(2), 'into host memory, unverified: rate over plain fs.read'),
        ],
        missing: [],
      };
    });
  },
};

function loading({ subject, dir, workers }: InProcess, file: string, target: LoadTarget, verify: boolean): Contestant {
  const path = basename(file);
  return {
    name: verify ? names.verified(workers) : names.unverified(workers),
    ours: true,
    command: `loadRegions(view, plan, device, { verify: ${verify} })`,
    async prepare() {
      await warm(dir);
      await settle(dir, 0);
    },
    run: () => subject.call('loadModel', dir, path, target, verify),
    check: async (round) => (round === 0 ? subject.call('checkModel', dir, path, target, verify, file) : undefined),
  };
}

function pipeline(subject: Subject, file: string, target: LoadTarget): Contestant {
  return {
    name: PLAIN,
    command: '8 × fileHandle.read(slot, …), the next 8 MiB each',
    prepare: () => warm(dirname(file)),
    run: () => subject.call('readPipeline', file, target),
  };
}

function floor(subject: Subject, file: string): Contestant {
  return {
    name: FLOOR,
    command: 'fs.readSync(fd, slot, …, 1 MiB); blake3(slot)',
    prepare: () => warm(dirname(file)),
    run: () => subject.call('readAndDigest', file),
  };
}
