import { join } from 'node:path';
import { withWorkFolder } from '../context.js';
import { bytesOnDisk } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import { firstStore, firstStoreByCommand } from './cairn.js';
import { rate, ratio, value } from './findings.js';
import type { Measurement, Row, Series } from './row.js';
import { firstStoreBy, repository } from './tools.js';

const ONE_WORKER = 'cairn, in process, 1 worker';
const TWO_WORKERS = 'cairn, in process, 2 workers';
const COMMAND = 'cairn, command';

export const firstStoreRow: Row = {
  id: 'first-store',
  title: 'First store of bf16 weights',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    return withWorkFolder(context, 'first-store', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      const stores = { [ONE_WORKER]: join(dir, 'one'), [TWO_WORKERS]: join(dir, 'two'), [COMMAND]: join(dir, 'command') };
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        firstStore({ context, subject: one, name: ONE_WORKER, dir: stores[ONE_WORKER], workers: 1 }, data),
        firstStore({ context, subject: two, name: TWO_WORKERS, dir: stores[TWO_WORKERS], workers: 2 }, data),
        firstStoreByCommand(COMMAND, stores[COMMAND], data),
        ...peers.available.map((peer) => firstStoreBy(peer, dir, data)),
      ]);
      // The stores of the in-process contestants hold the warm-up as well; the command's holds the data alone.
      const sizes: Measurement[] = [await sizeOf('cairn', true, stores[COMMAND], data.bytes)];
      for (const peer of peers.available) sizes.push(await sizeOf(peer.name, false, repository(dir, peer), data.bytes));
      const size: Series = { title: 'Bytes on disk, of those put in', unit: 'of logical', measurements: sizes };
      return {
        dataset: data.description,
        method:
          'From the call (or the start of the command) until the data is durable, into an empty store or repository; source in the page cache. In process: the store is open and its workers have stored something else before. The in-process ratios to commands include what starting those commands takes.',
        series: [time, size],
        findings: [
          ...ratio(time, TWO_WORKERS, 'cp', 'in process, 2 workers: time over cp + sync', 'first-store/process'),
          ...ratio(time, ONE_WORKER, 'cp', 'in process, 1 worker: time over cp + sync'),
          ...ratio(time, COMMAND, 'cp', 'command: time over cp + sync', 'first-store/command'),
          ...ratio(time, 'borg', TWO_WORKERS, 'times as fast as borg, in process', 'first-store/borg'),
          ...ratio(time, 'borg', COMMAND, 'times as fast as borg, command against command'),
          ...ratio(time, 'restic', TWO_WORKERS, 'times as fast as restic, in process', 'first-store/restic'),
          ...ratio(time, 'restic', COMMAND, 'times as fast as restic, command against command'),
          ...ratio(time, 'casync', TWO_WORKERS, 'times as fast as casync, in process', 'first-store/casync'),
          ...ratio(time, 'casync', COMMAND, 'times as fast as casync, command against command'),
          ...ratio(time, ONE_WORKER, TWO_WORKERS, 'two workers against one'),
          ...rate(time, TWO_WORKERS, 'rate, 2 workers'),
          ...value(size, 'cairn', 'bytes on disk'),
        ],
        missing: peers.missing,
      };
    });
  },
};

async function sizeOf(name: string, ours: boolean, dir: string, logical: number): Promise<Measurement> {
  return { name, ours, samples: [(await bytesOnDisk(dir)) / logical] };
}
