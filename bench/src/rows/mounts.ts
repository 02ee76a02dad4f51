import { appendFile, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Context } from '../context.js';
import { withWorkFolder } from '../context.js';
import type { Dataset } from '../datasets/dataset.js';
import { settle, warm } from '../measure/conditions.js';
import { interleave } from '../measure/rounds.js';
import type { Contestant } from '../measure/rounds.js';
import { runCommand } from '../peers/run-command.js';
import { Subject } from '../subject/client.js';
import { checkFirst, emptyFolder, openFreshStore } from './cairn.js';
import { ratio, value } from './findings.js';
import type { Row } from './row.js';
import { fill, restoreBy } from './tools.js';

const MOUNT = 'cairn mount';
const NOTHING = 'cairn commit, nothing changed';
const GIT = 'git status';
const ONE_FILE = 'cairn commit, one file of 1 MiB';
const SMALL_FOLDER = 1000;
const CHANGED_BYTES = 1 << 20;

export const mountRow: Row = {
  id: 'mount',
  title: 'Mount a volume as a folder',
  async measure(context) {
    const { flags, library, peers, log } = context;
    const data = await library.weights('bf16', flags.sizes.weightsBytes);
    return withWorkFolder(context, 'mount', async (dir) => {
      await using subject = new Subject();
      const store = join(dir, 'cairn', 'store');
      await openFreshStore({ context, subject, name: MOUNT, dir: store, workers: 2 });
      await subject.call('storeFolder', store, data.dir);
      const copy = peers.available.filter(({ name }) => name === 'cp');
      for (const peer of copy) await fill(peer, dir, data);
      const time = await interleave({ title: 'Time', unit: 'ms', rounds: flags.rounds, bytes: data.bytes, log }, [
        mounting(subject, store, join(dir, 'cairn', 'folder'), data),
        ...copy.map((peer) => restoreBy(peer, dir, data)),
      ]);
      return {
        dataset: data.description,
        method:
          'From the call until all files stand in a new folder, every chunk verified, and the folder is known as a mount; nobody syncs. Store and source in the page cache.',
        series: [time],
        findings: ratio(time, MOUNT, 'cp', 'mount: time over cp -r', 'mount/cp'),
        missing: [],
      };
    });
  },
};

export const mountedRow: Row = {
  id: 'mounted',
  title: 'Commit and reload mounted folders',
  async measure(context) {
    const { flags, library, log } = context;
    const large = await library.smallFiles(flags.sizes.smallFiles, flags.sizes.smallFileBytes);
    const small = await library.smallFiles(Math.min(SMALL_FOLDER, flags.sizes.smallFiles), flags.sizes.smallFileBytes);
    return withWorkFolder(context, 'mounted', async (dir) => {
      await using subject = new Subject();
      const mounts = {
        small: await mounted(context, subject, dir, 'small', small),
        large: await mounted(context, subject, dir, 'large', large),
      };
      const git = await gitRepository(dir, mounts.large.folder);
      const scan = await interleave({ title: 'Scan', unit: 'ms', rounds: flags.rounds, log }, [
        committing(subject, NOTHING, mounts.large, undefined),
        { name: GIT, command: git.show, prepare: () => settle(dir, 0), run: () => runCommand(git) },
      ]);
      const change = await interleave({ title: 'One changed file', unit: 'ms', rounds: flags.rounds, log }, [
        committing(subject, ONE_FILE, mounts.small, CHANGED_BYTES),
        reloading(subject, RELOAD(mounts.small), mounts.small),
        reloading(subject, RELOAD(mounts.large), mounts.large),
      ]);
      for (const { folder } of [mounts.small, mounts.large]) await subject.call('unmountFolder', folder);
      return {
        dataset: `mounted folders: ${small.description}; ${large.description}`,
        method:
          'A commit of a folder in which nothing changed, warm, in the process that owns the mount; `git status --porcelain` as a command on the same folder, its index fresh. Then a commit after one file was replaced by 1 MiB of new bytes, and a reload after somebody else committed one changed file of 4 KiB.',
        series: [scan, change],
        findings: [
          ...ratio(scan, NOTHING, GIT, 'commit with nothing changed: time over git status', 'mounted/git-status'),
          ...value(change, ONE_FILE, 'commit of one changed file of 1 MiB, 1,000 files', 'mounted/commit'),
          ...ratio(
            change,
            RELOAD(mounts.large),
            RELOAD(mounts.small),
            'reload of one changed file: large folder over small',
            'mounted/reload-growth',
          ),
        ],
        missing: [],
      };
    });
  },
};

interface Mounted {
  readonly store: string;
  readonly folder: string;
  readonly files: number;
  /** One of its files, from its root. */
  readonly file: string;
}

const RELOAD = ({ files }: Mounted): string => `cairn reload, ${files.toLocaleString('en')} files`;

async function mounted(context: Context, subject: Subject, dir: string, name: string, data: Dataset): Promise<Mounted> {
  const store = join(dir, name, 'store');
  const folder = join(dir, name, 'folder');
  await openFreshStore({ context, subject, name, dir: store, workers: 2 });
  await subject.call('storeFolder', store, data.dir);
  await subject.call('mountFolder', store, folder);
  const files = (await readdir(data.dir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const [first] = files;
  if (first === undefined) throw new Error('a folder without files');
  return { store, folder, files: files.length, file: join(first.parentPath, first.name).slice(data.dir.length + 1) };
}

function mounting(subject: Subject, store: string, folder: string, data: Dataset): Contestant {
  return {
    name: MOUNT,
    ours: true,
    command: "volume.mount('TARGET')",
    async prepare() {
      await subject.call('unmountFolder', folder);
      await rm(folder, { recursive: true, force: true });
      await mkdir(dirname(folder), { recursive: true });
      await warm(store);
      await settle(dirname(store), data.bytes);
    },
    run: () => subject.call('mountFolder', store, folder),
    async check(round) {
      if (round > 0) return;
      await subject.call('unmountFolder', folder);
      await rm(join(folder, '.cairn-mount'), { recursive: true });
      await checkFirst(round, data.dir, folder);
    },
  };
}

/** With `bytes`, after one file was replaced by so many; else with nothing to commit. */
function committing(subject: Subject, name: string, { store, folder, file }: Mounted, bytes: number | undefined): Contestant {
  return {
    name,
    ours: true,
    command: 'mount.commit()',
    async prepare(round) {
      if (bytes !== undefined) await subject.call('changeFile', folder, file, bytes, round);
      await settle(dirname(store), 0);
    },
    run: () => subject.call('commitFolder', folder, bytes === undefined ? 0 : 1),
  };
}

function reloading(subject: Subject, name: string, { store, folder, file }: Mounted): Contestant {
  return {
    name,
    ours: true,
    command: 'mount.reload()',
    async prepare(round) {
      await subject.call('changeVolume', store, file, 4096, round);
      await settle(dirname(store), 0);
    },
    run: () => subject.call('reloadFolder', folder),
  };
}

/** A repository of the same files whose own files lie elsewhere. */
async function gitRepository(dir: string, folder: string): Promise<{ show: string; argv: [string, ...string[]] }> {
  const repository = join(dir, 'git');
  await emptyFolder(repository);
  const git = (...args: string[]): [string, ...string[]] => ['git', `--git-dir=${repository}`, `--work-tree=${folder}`, ...args];
  await runCommand({ show: 'git init', argv: ['git', 'init', '-q', '--bare', repository] });
  await runCommand({ show: 'git config', argv: git('config', 'core.bare', 'false') });
  await appendFile(join(repository, 'info', 'exclude'), '\n.cairn-mount/\n');
  await runCommand({ show: 'git add', argv: git('add', '-A') });
  await runCommand({ show: 'git status', argv: git('status', '--porcelain') });
  return { show: 'git status --porcelain', argv: git('status', '--porcelain') };
}
