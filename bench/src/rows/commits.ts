import { join } from 'node:path';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import { settle } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { median } from '../measure/statistics.js';
import { Subject } from '../subject/client.js';
import { difference, ratio, value } from './findings.js';
import type { Row } from './row.js';

const DURABLE_WRITE = 'durable file write';

/** A closed store whose one volume holds `files` files. */
interface GrownStore {
  readonly name: string;
  readonly dir: string;
}

export const commitRow: Row = {
  id: 'commit',
  title: 'One-file commit in small and large volumes',
  async measure(context) {
    const { flags, log } = context;
    const { commits, manifests } = flags.sizes;
    return withWorkFolder(context, 'commit', async (dir) => {
      const stores = await growStores(context, dir);
      await using subject = new Subject();
      for (const store of stores) {
        await subject.call('openStore', store.dir, {});
        // Modules are loaded and code is compiled by the first commits, whichever volume they go to.
        await subject.call('commitOneFile', store.dir, commits, flags.rounds);
      }
      const contestants = stores.map((store): Contestant => ({
        name: store.name,
        ours: true,
        prepare: () => settle(dir, 0),
        run: async (round) => median(await subject.call('commitOneFile', store.dir, commits, round)),
      }));
      const durable: Contestant = {
        name: DURABLE_WRITE,
        command: 'open, write, fdatasync, rename, fsync of the folder',
        prepare: () => settle(dir, 0),
        run: async (round) => median(await subject.call('writeDurably', join(dir, 'files'), commits, round)),
      };
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, log }, [...contestants, durable]);
      const [smallest, largest] = ends(stores);
      return {
        dataset: `volumes of ${manifests.map((files) => files.toLocaleString('en')).join(' / ')} files in folders of 1000, each in a store of its own`,
        method: `\`writeFile\` of 4 KiB and \`commit\`, durable, in an open volume; a sample is the median of ${commits} commits in a row. A durable file write alone shows what the disk asks for each step that has to survive a power loss; a commit has several.`,
        series: [time],
        findings: [
          ...ratio(time, largest.name, smallest.name, `${largest.name} over ${smallest.name}`, 'commit/growth'),
          ...value(time, largest.name, largest.name, 'commit/time'),
          ...ratio(time, largest.name, DURABLE_WRITE, `${largest.name}: time over a durable file write`),
        ],
        missing: [],
      };
    });
  },
};

export const openingRow: Row = {
  id: 'opening',
  title: 'Open a volume and read one file',
  async measure(context) {
    const { flags, log } = context;
    return withWorkFolder(context, 'opening', async (dir) => {
      const stores = await growStores(context, dir);
      await using subject = new Subject();
      for (const store of stores) await subject.call('openAndRead', store.dir, flags.rounds);
      const contestants = stores.map((store): Contestant => ({
        name: store.name,
        ours: true,
        run: (round) => subject.call('openAndRead', store.dir, round),
      }));
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: Math.max(flags.rounds, flags.sizes.starts), log }, contestants);
      const [smallest, largest] = ends(stores);
      return {
        dataset: 'the volumes of the commit row; one file of 4 KiB',
        method:
          '`openStore`, `fromName` and `readFile` until the bytes are there, in a process that has opened stores before; the store is closed again, untimed.',
        series: [time],
        findings: [
          ...difference(time, largest.name, smallest.name, `${largest.name} over ${smallest.name}`, 'opening/growth'),
          ...value(time, largest.name, largest.name),
        ],
        missing: [],
      };
    });
  },
};

/** Made by a process of its own: one that has written large transactions may stay slower than a fresh one. */
async function growStores({ flags, log }: Context, dir: string): Promise<GrownStore[]> {
  await using subject = new Subject();
  const stores: GrownStore[] = [];
  for (const files of flags.sizes.manifests) {
    log(`  filling a volume with ${files.toLocaleString('en')} files`);
    const store = { name: `cairn, ${files.toLocaleString('en')} files`, dir: join(dir, `store-${files}`) };
    await subject.call('openStore', store.dir, {});
    await subject.call('growVolume', store.dir, files);
    await subject.call('closeStore', store.dir);
    stores.push(store);
  }
  return stores;
}

function ends(stores: readonly GrownStore[]): [GrownStore, GrownStore] {
  const [smallest] = stores;
  const largest = stores.at(-1);
  if (smallest === undefined || largest === undefined) throw new Error('no sizes of volumes were given');
  return [smallest, largest];
}
