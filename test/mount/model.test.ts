import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore, type Store } from '@cairn/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { tempDir } from '../support/temp-dir.js';
import { mergeTrees, sameTree, type Node, type Tree } from '../support/volume-model.js';
import { temporaries } from './support.js';

/** A long run sets more. */
const RUNS = Number(process.env['CAIRN_TEST_MOUNT_RUNS'] ?? 3);

const NAMES = ['a', 'b', 'c'];
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const which = fc.constantFrom(0, 1);
const delayMs = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 60 }));

type Step =
  | { do: 'write' | 'remove' | 'mkdir' | 'link'; at: number; path: string; text: string }
  | { do: 'rename'; at: number; path: string; to: string }
  | { do: 'commit' | 'reload'; at: number }
  | { do: 'kill'; at: number; call: 'commit' | 'reload'; delayMs: number };

const edit: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), at: which, path, text: fc.string({ maxLength: 4 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('remove' as const, 'mkdir' as const, 'link' as const),
      at: which,
      path,
      text: fc.constant('x'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rename' as const), at: which, path, to: path }) },
);
const call: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'reload' as const), at: which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('kill' as const),
      at: which,
      call: fc.constantFrom('commit' as const, 'reload' as const),
      delayMs,
    }),
  },
);
/** Some edits, then a call. */
const program = fc.array(fc.tuple(fc.array(edit, { maxLength: 4 }), call), { minLength: 6, maxLength: 12 }).map((rounds) => rounds.flat(2));

/** A mount of the volume in a process of its own, and what it must be like: the tree that it is based on. */
interface Mounted {
  dir: string;
  child: Child;
  seen: Tree;
}

class World {
  readonly counts = { edits: 0, commits: 0, reloads: 0, kills: 0, published: 0 };
  private readonly storeDir: string;
  private readonly store: Store;
  private head: Tree = new Map();
  private readonly mounts: Mounted[] = [];

  static async make(): Promise<World> {
    const dir = tempDir();
    const store = await openStore(join(dir, 'store'), { workers: 1 });
    await store.volumes.create('v');
    const world = new World(join(dir, 'store'), store);
    for (const name of ['f', 'g']) world.mounts.push({ dir: join(dir, name), child: await world.start(join(dir, name)), seen: new Map() });
    return world;
  }

  private constructor(storeDir: string, store: Store) {
    this.storeDir = storeDir;
    this.store = store;
  }

  async run(step: Step): Promise<void> {
    const mount = this.mounts[step.at]!;
    if (step.do === 'commit' || step.do === 'reload') {
      await this.complete(mount, step.do);
      this.counts[`${step.do}s`]++;
    } else if (step.do === 'kill') await this.kill(mount, step.call, step.delayMs);
    else if (change(mount.dir, step)) this.counts.edits++;
  }

  async close(): Promise<void> {
    for (const mount of this.mounts) await this.complete(mount, 'commit');
    for (const mount of this.mounts) await this.complete(mount, 'reload');
    for (const { dir, child } of this.mounts) {
      expectTree(treeOf(dir), this.head, 'a folder in the end');
      child.stop();
      await child.succeeds();
      expect(temporaries(dir)).toEqual([]);
    }
    expect(await this.store.verify()).toMatchObject({ ok: true });
    await this.store.close();
  }

  private async complete(mount: Mounted, name: 'commit' | 'reload'): Promise<void> {
    const folder = treeOf(mount.dir);
    const after = this.outcome(mount, name, folder);
    const from = mount.child.said.length;
    mount.child.tell({ call: name, options: {} });
    if ((await mount.child.hears(({ say }) => say === 'done', from)) === undefined) await mount.child.succeeds();
    expectTree(treeOf(mount.dir), after.folder, `the folder after ${name}`);
    this.accept(mount, after);
    expectTree(await this.headTree(), this.head, `the head after ${name}`);
    expect(temporaries(mount.dir)).toEqual([]);
  }

  /** What a commit or reload makes of folder, base and head. */
  private outcome(mount: Mounted, name: 'commit' | 'reload', folder: Tree): { folder: Tree; seen: Tree; head: Tree } {
    const merged = mergeTrees(mount.seen, folder, this.head);
    return name === 'commit' ? { folder, seen: folder, head: merged } : { folder: merged, seen: this.head, head: this.head };
  }

  private async kill(mount: Mounted, name: 'commit' | 'reload', afterMs: number): Promise<void> {
    const folder = treeOf(mount.dir);
    const after = this.outcome(mount, name, folder);
    const from = mount.child.said.length;
    mount.child.tell({ call: name, options: {} });
    await mount.child.hears(({ say }) => say === 'begins', from);
    await sleep(afterMs);
    await mount.child.kill();
    const isDone = mount.child.said.slice(from).some(({ say }) => say === 'done');
    mount.child = await this.start(mount.dir);
    this.counts.kills++;
    expect(temporaries(mount.dir)).toEqual([]);
    const head = await this.headTree();
    const now = treeOf(mount.dir);
    if (name === 'commit') {
      expectTree(now, folder, 'the folder after a commit that was killed');
      const published = sameTree(head, after.head);
      expect(published || sameTree(head, this.head), 'the commit is whole or not at all').toBe(true);
      if (isDone) expect(published, 'what was acknowledged').toBe(true);
      if (published) this.accept(mount, after);
      this.counts.published += published ? 1 : 0;
    } else {
      expectTree(head, this.head, 'the head after a reload');
      const completed = sameTree(now, after.folder);
      expect(completed || sameTree(now, folder), `the reload is completed or not begun: ${show(now)}`).toBe(true);
      if (isDone) expect(completed).toBe(true);
      // A folder that is the same before and after does not tell what it is based on now; another reload does.
      if (completed) this.accept(mount, after);
      await this.complete(mount, 'reload');
    }
  }

  private accept(mount: Mounted, { seen, head }: { seen: Tree; head: Tree }): void {
    mount.seen = seen;
    this.head = head;
  }

  private async start(folder: string): Promise<Child> {
    const child = Child.start('mount-driver.mjs', { store: this.storeDir, folder });
    if ((await child.hears(({ say }) => say === 'mounted')) === undefined) await child.succeeds();
    return child;
  }

  private async headTree(): Promise<Tree> {
    const volume = await this.store.volumes.fromName('v');
    const tree: Tree = new Map();
    for (const { path: at, type, symlinkTarget } of await volume.listdir('', { recursive: true })) {
      if (type === 'file') tree.set(at, { type, bytes: await volume.readFile(at) });
      else tree.set(at, type === 'symlink' ? { type, target: symlinkTarget! } : { type });
    }
    return tree;
  }
}

/** Does an edit as any program would; false where the system refuses it. */
function change(dir: string, step: Step): boolean {
  if (!('path' in step)) return false;
  const local = join(dir, step.path);
  try {
    if (step.do === 'remove') rmSync(local, { recursive: true });
    else if (step.do === 'rename') renameSync(local, join(dir, step.to));
    else {
      mkdirSync(step.do === 'mkdir' ? local : dirname(local), { recursive: true });
      if (step.do === 'write') writeFileSync(local, step.text);
      if (step.do === 'link') symlinkSync(step.text, local);
    }
    return true;
  } catch {
    return false;
  }
}

function treeOf(dir: string): Tree {
  const tree: Tree = new Map();
  const visit = (folder: string): void => {
    for (const name of readdirSync(join(dir, folder))) {
      if (name === '.cairn-mount') continue;
      const at = folder === '' ? name : `${folder}/${name}`;
      const stat = lstatSync(join(dir, at));
      if (stat.isDirectory()) {
        tree.set(at, { type: 'directory' });
        visit(at);
      } else if (stat.isSymbolicLink()) tree.set(at, { type: 'symlink', target: readlinkSync(join(dir, at)) });
      else tree.set(at, { type: 'file', bytes: new Uint8Array(readFileSync(join(dir, at))) });
    }
  };
  visit('');
  return tree;
}

function show(tree: Tree): string {
  const text = (node: Node): string =>
    node.type === 'file' ? JSON.stringify(Buffer.from(node.bytes).toString()) : node.type === 'symlink' ? `-> ${node.target}` : '/';
  return [...tree]
    .map(([at, node]) => `${at}: ${text(node)}`)
    .sort()
    .join('\n');
}

function expectTree(actual: Tree, expected: Tree, what: string): void {
  expect(show(actual), what).toBe(show(expected));
}

test('two mounts of one volume, edited, committed, reloaded and killed at any moment, are as the model says', async () => {
  const total = { edits: 0, commits: 0, reloads: 0, kills: 0, published: 0 };
  await fc.assert(
    fc.asyncProperty(program, async (steps) => {
      const world = await World.make();
      for (const step of steps) await world.run(step);
      await world.close();
      for (const [name, count] of Object.entries(world.counts)) total[name as keyof typeof total] += count;
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  console.log(total);
}, 1_800_000);
