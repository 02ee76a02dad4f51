import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import type { Dataset } from '../datasets/dataset.js';
import { bytesOnDisk, settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { Subject } from '../subject/client.js';
import { firstStore, firstStoreByCommand } from './cairn.js';
import { ratio, value } from './findings.js';
import type { Measurement, Row, Series } from './row.js';
import { firstStoreBy, repository } from './tools.js';

const ONE_WORKER = 'cairn, in process, 1 worker';
const TWO_WORKERS = 'cairn, in process, 2 workers';
const LOADED = 'cairn, in process, 2 workers, full store';
const COMMAND = 'cairn, command';
const CACACHE = 'npm cacache';

export const smallFilesRow: Row = {
  id: 'small-files',
  title: 'First store of many small files',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const { smallFiles, smallFileBytes, loadedChunks } = flags.sizes;
    const data = await library.smallFiles(smallFiles, smallFileBytes);
    return withWorkFolder(context, 'small-files', async (dir) => {
      await using one = new Subject();
      await using two = new Subject();
      await using loaded = new Subject();
      await using cache = new Subject();
      const template = join(dir, 'template');
      await makeFullStore(context, template);
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        firstStore({ context, subject: one, name: ONE_WORKER, dir: join(dir, 'one'), workers: 1 }, data),
        firstStore({ context, subject: two, name: TWO_WORKERS, dir: join(dir, 'two'), workers: 2 }, data),
        intoFullStore(loaded, template, join(dir, 'loaded'), data),
        firstStoreByCommand(COMMAND, join(dir, 'command'), data),
        ...peers.available.map((peer) => firstStoreBy(peer, dir, data)),
        intoBlobCache(cache, join(dir, 'cacache'), data),
      ]);
      const sizes: Measurement[] = [await sizeOf('cairn', true, join(dir, 'command'), data.bytes)];
      for (const peer of peers.available) sizes.push(await sizeOf(peer.name, false, repository(dir, peer), data.bytes));
      sizes.push(await sizeOf(CACACHE, false, join(dir, 'cacache'), data.bytes));
      const size: Series = { title: 'Bytes on disk, of those put in', unit: 'of logical', measurements: sizes };
      return {
        dataset: data.description,
        method: `From the call (or the start of the command) until the commit is durable, into an empty store or repository; source in the page cache. The full store holds ${loadedChunks.toLocaleString('en')} chunks of other data before; it stands against peers whose repositories are empty. cacache runs in process, 16 files at once, without sync.`,
        series: [time, size],
        findings: [
          ...ratio(time, 'borg', TWO_WORKERS, 'times as fast as borg, in process, 2 workers', 'small-files/borg'),
          ...ratio(time, 'restic', TWO_WORKERS, 'times as fast as restic, in process, 2 workers', 'small-files/restic'),
          ...ratio(time, 'borg', LOADED, 'times as fast as borg, full store', 'small-files/borg-loaded'),
          ...ratio(time, 'restic', LOADED, 'times as fast as restic, full store', 'small-files/restic-loaded'),
          ...ratio(time, 'borg', COMMAND, 'times as fast as borg, command against command'),
          ...ratio(time, CACACHE, TWO_WORKERS, 'times as fast as npm cacache (which does not sync)'),
          ...ratio(time, 'cp', TWO_WORKERS, 'times as fast as cp + sync'),
          ...ratio(time, ONE_WORKER, TWO_WORKERS, 'two workers against one'),
          ...value(size, 'cairn', 'bytes on disk'),
        ],
        missing: peers.missing,
      };
    });
  },
};

/** A closed store that holds many chunks of other data, copied for every round. */
async function makeFullStore({ flags, library }: Context, dir: string): Promise<void> {
  const chunks = await library.tinyTensors(flags.sizes.loadedChunks);
  await using subject = new Subject();
  await subject.call('openStore', dir, { workers: 2 });
  await subject.call('storeFolder', dir, chunks.dir, 'loaded');
  await subject.call('closeStore', dir);
}

function intoFullStore(subject: Subject, template: string, dir: string, data: Dataset): Contestant {
  return {
    name: LOADED,
    ours: true,
    async prepare() {
      await subject.call('closeStore', dir);
      await rm(dir, { recursive: true, force: true });
      await cp(template, dir, { recursive: true });
      await subject.call('openStore', dir, { workers: 2 });
      await warm(dir);
      await warm(data.dir);
      await settle(join(dir, '..'), data.bytes);
    },
    run: () => subject.call('storeFolder', dir, data.dir),
  };
}

function intoBlobCache(subject: Subject, dir: string, data: Dataset): Contestant {
  return {
    name: CACACHE,
    command: 'cacache.put(cache, path, await readFile(path))',
    async prepare() {
      await rm(dir, { recursive: true, force: true });
      await warm(data.dir);
      await settle(join(dir, '..'), data.bytes);
    },
    run: () => subject.call('storeInBlobCache', dir, data.dir),
  };
}

async function sizeOf(name: string, ours: boolean, dir: string, logical: number): Promise<Measurement> {
  return { name, ours, samples: [(await bytesOnDisk(dir)) / logical] };
}
