import fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_CONTENT } from '../../packages/core/src/content/content-ref.js';
import { NodeDisk } from '../../packages/core/src/disk/node-disk.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { asDigest } from '../../packages/core/src/hash/digest.js';
import { sameEntry, type Entry, type ManifestRoot } from '../../packages/core/src/manifest/entry.js';
import { compareTogether, ROWS_WORTH_THREADS } from '../../packages/core/src/mount/compare-folder.js';
import { lstat } from '../../packages/core/src/mount/lstat.js';
import { FolderPlaces } from '../../packages/core/src/mount/places.js';
import { Scan } from '../../packages/core/src/mount/scan.js';
import { Window } from '../../packages/core/src/mount/seen-tree.js';
import { StatCache } from '../../packages/core/src/mount/stat-cache.js';
import { Comparison, type ComparisonTask, partsOf, planComparison } from '../../packages/core/src/stamps/comparison.js';
import { sameStamp, stampOf } from '../../packages/core/src/stamps/stamp.js';
import { IgnoreRules } from '../../packages/core/src/volume/ignore-rules.js';
import type { TaskRunner } from '../../packages/core/src/workers/pool.js';
import type { Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';
import { tempDir } from '../support/temp-dir.js';
import { edit, rig } from './support.js';

const NO_WORKERS: TaskRunner = {
  workers: 0,
  warmUp: () => undefined,
  run: () => Promise.reject(new Error('nobody was to be asked')),
};

function loaded(of: ManifestRoot): StatCache {
  return StatCache.load(new NodeDisk(false), tempDir(), of, createHasher('auto'));
}

/** A folder, and the tree and stat cache of what it held when it was last learnt. */
class Subject {
  readonly dir = tempDir();
  tree: Tree = new Map();
  cache = loaded(null);
  readonly window = new Window(new MemoryNodes(), '');

  local(path: string): string {
    return path === '' ? this.dir : join(this.dir, path);
  }

  onDisk(): Tree {
    const found: Tree = new Map();
    for (const path of fs.readdirSync(this.dir, { recursive: true, encoding: 'utf8' }).sort()) {
      const stat = fs.lstatSync(this.local(path));
      if (stat.isDirectory()) found.set(path, { type: 'directory', mtimeNs: 0n });
      else if (stat.isSymbolicLink()) found.set(path, { type: 'symlink', target: fs.readlinkSync(this.local(path)), mtimeNs: 0n });
      else found.set(path, { type: 'file', content: EMPTY_CONTENT, executable: false, mtimeNs: 0n });
    }
    return found;
  }

  /** Takes what is on the disk for the tree, and how it looks for known: from now on every change shows. */
  learn(): void {
    const before = this.root();
    this.tree = this.onDisk();
    this.cache.follow(this.window.diff(before, this.root()));
    for (const path of this.tree.keys()) this.cache.set(path, stampOf(lstat(this.local(path))!));
    const probe = join(tempDir(), 'probe');
    fs.writeFileSync(probe, '');
    const { ctimeNs } = lstat(probe)!;
    while (lstat(probe)!.ctimeNs === ctimeNs) fs.chmodSync(probe, 0o600);
  }

  scan(workers = NO_WORKERS, signal?: AbortSignal): Scan {
    const { cache, window } = this;
    const places = new FolderPlaces(this.dir);
    return new Scan({ window, seen: this.root(), places, cache, workers, rules: new IgnoreRules(), signal });
  }

  private root(): ManifestRoot {
    return this.window.edit(null, this.tree);
  }
}

const path = fc.array(fc.constantFrom('a', 'b', 'c', 'ü'), { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const change = fc.record({ path, to: fc.constantFrom('file', 'same size', 'folder', 'link', 'other link', 'nothing', 'touch') });

/** Does one thing to a folder, whatever is there; what cannot be done is not done. */
function disturb(local: string, to: string): void {
  try {
    if (to === 'touch') fs.lutimesSync(local, 1, 1);
    else if (to === 'same size') fs.writeFileSync(local, 'other');
    else {
      if (lstat(local) !== undefined) fs.rmSync(local, { recursive: true });
      if (to === 'file') fs.writeFileSync(local, 'bytes');
      if (to === 'folder') fs.mkdirSync(local);
      if (to.endsWith('link')) fs.symlinkSync(`to ${to}`, local);
    }
  } catch (error) {
    expect(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP']).toContain((error as { code: string }).code);
  }
}

/** What a scan has to find, by looking at everything. */
function differences(subject: Subject): { edits: Tree | Map<string, null>; candidates: string[] } {
  const disk = subject.onDisk();
  const edits = new Map<string, Entry | null>();
  const candidates: string[] = [];
  for (const path of new Set([...subject.tree.keys(), ...disk.keys()])) {
    const [before, now] = [subject.tree.get(path), disk.get(path)];
    if (now?.type === 'file') {
      if (before?.type !== 'file' || !sameStamp(subject.cache.get(path), stampOf(lstat(subject.local(path))!))) candidates.push(path);
    } else if (!sameEntry(before, now)) edits.set(path, now ?? null);
  }
  return { edits: edits as Tree, candidates: candidates.sort() };
}

function found(scan: Scan): unknown {
  const edits = new Map([...scan.edits].map(([path, entry]) => [path, entry && { ...entry, mtimeNs: 0n }]));
  return { edits, candidates: scan.candidates.map(({ name }) => name).sort() };
}

describe('a scan', () => {
  test('finds exactly what differs, whatever became what, time and again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(change, { maxLength: 12 }), { minLength: 2, maxLength: 4 }), async (rounds) => {
        const subject = new Subject();
        for (const changes of rounds) {
          for (const { path, to } of changes) disturb(subject.local(path), to);
          const scan = subject.scan();
          await scan.all();
          expect(found(scan)).toEqual(differences(subject));
          expect(scan.skipped).toEqual([]);
          subject.learn();
        }
        const scan = subject.scan();
        await scan.all();
        expect(found(scan)).toEqual({ edits: new Map(), candidates: [] });
      }),
      { numRuns: 50 },
    );
  });

  test('with a stat cache that knows nothing takes every file for changed, and nothing else', async () => {
    const subject = new Subject();
    edit(subject.dir, { a: 'a', 'd/b': 'b', 'd/e': '/', link: '-> a' });
    subject.learn();
    subject.cache = loaded(asDigest(new Uint8Array(32)));
    expect(subject.cache.isKnown).toBe(false);
    const scan = subject.scan();
    await scan.all();
    expect(found(scan)).toEqual({ edits: new Map(), candidates: ['a', 'd/b'] });
    expect([...subject.cache.foldersBelow('')].sort()).toEqual(['', 'd', 'd/e']);
  });

  test('that ends while the stat cache learns the tree leaves it knowing nothing, and not half', async () => {
    const subject = new Subject();
    edit(subject.dir, Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`d${i % 20}/${i}`, ''])));
    subject.learn();
    subject.cache = loaded(asDigest(new Uint8Array(32)));
    const reason = new Error('enough');
    await expect(subject.scan(NO_WORKERS, AbortSignal.abort(reason)).all()).rejects.toBe(reason);
    expect(subject.cache.isKnown).toBe(false);
    const scan = subject.scan();
    await scan.all();
    expect(scan.candidates.length).toBe(700);
  });

  test.skipIf(process.getuid === undefined)('names folders that it may not look into, and finds nothing deleted there', async () => {
    const subject = new Subject();
    edit(subject.dir, { 'closed/a': 'a', 'closed/d/b': 'b', 'listed/a': 'a', 'listed/d/b': 'b', 'open/a': 'a', 'new/x': 'x' });
    fs.rmSync(subject.local('new'), { recursive: true });
    subject.learn();
    edit(subject.dir, { 'open/a': 'edited', 'new/x': 'x' });
    fs.chmodSync(subject.dir, 0o755);
    const modes = { closed: 0, listed: 0o444, new: 0 };
    for (const [name, mode] of Object.entries(modes)) fs.chmodSync(subject.local(name), mode);
    const scan = subject.scan();
    const isRoot = process.getuid!() === 0;
    if (isRoot) process.seteuid!(65_534);
    try {
      await scan.all();
    } finally {
      if (isRoot) process.seteuid!(0);
      for (const name of Object.keys(modes)) fs.chmodSync(subject.local(name), 0o755);
    }
    expect(scan.skipped.sort()).toEqual(['closed', 'listed', 'new']);
    expect(scan.candidates.map(({ name }) => name)).toEqual(['open/a']);
    expect([...scan.edits.keys()]).toEqual(['new']);
  });

  test('that is aborted ends, and nobody looks at anything more', async () => {
    const subject = new Subject();
    edit(subject.dir, Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`d${i % 20}/${i}`, ''])));
    subject.learn();
    const reason = new Error('enough');
    await expect(subject.scan(NO_WORKERS, AbortSignal.abort(reason)).all()).rejects.toBe(reason);
  });
});

describe('a comparison that several work on', () => {
  const folder = (): { task: ComparisonTask; expected: string[] } => {
    const subject = new Subject();
    edit(subject.dir, Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`d${i % 40}/${i}`, ''])));
    subject.learn();
    const expected: string[] = [];
    for (let i = 0; i < 400; i += 7) {
      fs.rmSync(subject.local(`d${i % 40}/${i}`));
      expected.push(`${i}`);
    }
    const { memory, folders } = subject.cache.compared([...subject.cache.foldersBelow('')]);
    return { task: planComparison(subject.dir, memory, folders), expected: expected.sort() };
  };
  const changed = (shares: Awaited<ReturnType<typeof compareTogether>>): string[] =>
    shares.flatMap(({ found: differing }) => differing.flatMap(({ changed: names }) => names)).sort();
  /** Takes `parts` of it, one a turn. */
  const helper = async (task: ComparisonTask, parts: number): Promise<unknown> => {
    const own = new Comparison(task);
    for (let i = 0; i < parts && own.step() > 0; i++) await new Promise(setImmediate);
    return own.share;
  };
  const runner = (run: (task: ComparisonTask) => Promise<unknown>): Pick<TaskRunner, 'run'> => ({
    run: <T>(_kind: unknown, task: object) => run(task as ComparisonTask) as Promise<T>,
  });

  test.each([0, 1, 4])('finds each difference once, with %i helpers', async (helpers) => {
    const { task, expected } = folder();
    const all = await compareTogether(
      task,
      runner((given) => helper(given, Infinity)),
      helpers,
    );
    expect(changed(all)).toEqual(expected);
    expect(all.reduce((sum, { parts }) => sum + parts, 0)).toBe(partsOf(task));
  });

  test('does not wait for helpers that never come, and does without those that cannot', async () => {
    for (const run of [() => new Promise(() => undefined), () => Promise.reject(new Error('no thread'))]) {
      const { task, expected } = folder();
      expect(changed(await compareTogether(task, runner(run), 2))).toEqual(expected);
    }
  });

  test('fails with a helper that took a part and died', async () => {
    const { task } = folder();
    const died = new Error('died');
    const dying = runner(async (given) => {
      await helper(given, 1);
      throw died;
    });
    await expect(compareTogether(task, dying, 1)).rejects.toBe(died);
  });

  test('leaves a helper that comes too late nothing to do', async () => {
    const { task } = folder();
    await compareTogether(
      task,
      runner(() => new Promise(() => undefined)),
      1,
    );
    expect(await helper(task, Infinity)).toEqual({ found: [], parts: 0 });
  });
});

test('a folder of many files is looked through by the worker threads, and every kind of change is committed', async () => {
  const r = await rig();
  const count = ROWS_WORTH_THREADS + 500;
  for (let i = 0; i < count; i++) await r.v.writeFile(`d${i % 30}/${i}`, '');
  await r.v.symlink('x', 'd0/link');
  await r.v.commit();
  const mount = await r.mount('f');
  expect(await mount.commit()).toMatchObject({ changed: false, busy: [], skipped: [] });
  edit(r.path('f'), { 'd0/0': 'edited', 'd1/1': null, 'd2/2': null, 'd0/link': null, d3: null, 'new/x': 'x', 'd4/new': 'n' });
  edit(r.path('f'), { 'd2/2/now/a/folder': 'x', 'd0/link': '-> elsewhere', d3: 'a file now' });
  expect(await mount.commit()).toMatchObject({ changed: true, busy: [], skipped: [] });
  await r.v.reload();
  const left = await r.v.listdir('', { recursive: true });
  expect(left.filter(({ type }) => type !== 'directory').length).toBe(count - 1 - Math.ceil((count - 3) / 30) + 4);
  const expected = { 'd0/0': 'edited', d3: 'a file now', 'new/x': 'x', 'd4/new': 'n', 'd2/2/now/a/folder': 'x' };
  for (const [path, text] of Object.entries(expected)) expect(await r.v.readFile(path, 'utf8')).toBe(text);
  expect((await r.v.stat('d0/link')).symlinkTarget).toBe('elsewhere');
  expect(await mount.status()).toMatchObject({ added: [], modified: [], removed: [] });
});
