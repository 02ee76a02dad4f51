import { basename, dirname } from 'node:path';
import { withWorkFolder } from '../context.js';
import { soleFile } from '../datasets/dataset.js';
import { settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import type { TargetKind } from '../subject/reads.js';
import type { InProcess } from './cairn.js';
import { rate, ratio } from './findings.js';
import type { Row, Series } from './row.js';
import { names, oneAndTwoWorkers } from './verified-reads.js';

const KINDS: readonly TargetKind[] = ['SharedArrayBuffer', 'ArrayBuffer'];

export const readIntoRow: Row = {
  id: 'read',
  title: 'Read bf16 weights into a given buffer',
  async measure(context) {
    const { flags, library, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    const file = await soleFile(data);
    return withWorkFolder(context, 'read', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      const stores = await oneAndTwoWorkers(context, dir, data, [one, two]);
      for (const { subject } of stores) for (const kind of KINDS) await subject.call('makeTarget', kind, data.bytes);
      const series: Series[] = [];
      for (const kind of KINDS) {
        const contestants = [
          ...stores.flatMap((store) => [reading(store, file, kind, true), reading(store, file, kind, false)]),
          plainRead(one, file, kind, 1),
          plainRead(two, file, kind, 2),
        ];
        series.push(await interleave({ title: `Time, ${kind}`, unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, contestants));
      }
      const [shared, plain] = series as [Series, Series];
      return {
        dataset: `${data.description}, stored raw (compression none)`,
        method:
          'From the call until the whole file is in the buffer, which is made once and reused by all reads of its process; packs and the plain file in the page cache. Each buffer is compared with the file after the first read. Two workers stand against two reads of half the file at once.',
        series,
        findings: [
          ...rate(shared, names.verified(1), 'verified, 1 worker, SharedArrayBuffer', 'read/verified'),
          ...rate(shared, names.verified(2), 'verified, 2 workers, SharedArrayBuffer'),
          ...ratio(shared, names.verified(1), names.verified(2), 'verified: two workers against one', 'workers/read'),
          ...ratio(shared, plainName(1), names.verified(1), 'verified, 1 worker: rate over plain fs.read'),
          ...ratio(shared, plainName(1), names.unverified(1), 'unverified, 1 worker: rate over plain fs.read', 'read/unverified'),
          ...ratio(shared, plainName(2), names.unverified(2), 'unverified, 2 workers: rate over two plain fs.reads'),
          ...rate(plain, names.verified(1), 'verified, 1 worker, ArrayBuffer'),
          ...ratio(plain, plainName(1), names.verified(1), 'verified, 1 worker, ArrayBuffer: rate over plain fs.read'),
          ...ratio(plain, plainName(1), names.unverified(1), 'unverified, 1 worker, ArrayBuffer: rate over plain fs.read'),
        ],
        missing: [],
      };
    });
  },
};

const plainName = (threads: number): string => (threads === 1 ? 'fs.readSync' : `fs.read, ${threads} at once`);

function reading({ subject, dir, workers }: InProcess, file: string, kind: TargetKind, verify: boolean): Contestant {
  return {
    name: verify ? names.verified(workers) : names.unverified(workers),
    ours: true,
    command: `volume.readInto({ path, target }, { verify: ${verify} })`,
    async prepare() {
      await warm(dir);
      await settle(dir, 0);
    },
    run: () => subject.call('readInto', dir, `/${basename(file)}`, kind, verify),
    check: async (round) => (round === 0 ? subject.call('checkTarget', file, kind) : undefined),
  };
}

function plainRead(subject: Subject, file: string, kind: TargetKind, threads: number): Contestant {
  return {
    name: plainName(threads),
    command: threads === 1 ? 'fs.readSync(fd, target, …)' : `${threads} × fileHandle.read(target, …), a part each`,
    async prepare() {
      await warm(dirname(file));
    },
    run: () => subject.call('readPlain', file, kind, threads),
    check: async (round) => (round === 0 ? subject.call('checkTarget', file, kind) : undefined),
  };
}
