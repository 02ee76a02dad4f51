import { openTemporaryStore, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mergeTrees, ModelError, ModelHandle, sameTree, type Node, type Tree } from '../support/volume-model.js';

/** Few names, so that files and folders get in each other's way. */
const NAMES = ['a', 'b', 'c.bin'];
const path = fc.oneof(
  fc.constantFrom(...NAMES),
  fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)).map((parts) => parts.join('/')),
  fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)).map((parts) => parts.join('/')),
);
/** Around the limits of a generic chunk, where cutting goes wrong if it does. */
const size = fc.oneof(fc.integer({ min: 0, max: 64 }), fc.constantFrom(8191, 8192, 8193, 65_536, 131_071, 131_072, 131_073, 300_000));
const bytes = fc.tuple(size, fc.integer({ min: 0, max: 3 })).map(([length, seed]) => noise(length, seed));
const handle = fc.integer({ min: 0, max: 2 });
const position = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.constantFrom(8192, 131_072, 200_000));

type Command = (world: World) => Promise<void>;

const command: fc.Arbitrary<{ name: string; run: Command }> = fc.oneof(
  fc.tuple(handle, path, bytes).map(([h, p, data]) =>
    named(`write ${h} ${p} ${data.length}`, (w) =>
      w.both(
        h,
        (v) => v.writeFile(p, data),
        (m) => m.writeFile(p, data),
      ),
    ),
  ),
  fc.tuple(handle, path, bytes).map(([h, p, data]) =>
    named(`append ${h} ${p} ${data.length}`, (w) =>
      w.both(
        h,
        (v) => v.appendFile(p, data),
        (m) => m.appendFile(p, data),
      ),
    ),
  ),
  fc.tuple(handle, path, position, bytes).map(([h, p, at, data]) =>
    named(`overwrite ${h} ${p} @${at} ${data.length}`, (w) =>
      w.both(
        h,
        (v) => overwrite(v, p, at, data),
        (m) => m.overwrite(p, at, data),
      ),
    ),
  ),
  fc.tuple(handle, path, size).map(([h, p, length]) =>
    named(`truncate ${h} ${p} ${length}`, (w) =>
      w.both(
        h,
        (v) => truncate(v, p, length),
        (m) => m.truncate(p, length),
      ),
    ),
  ),
  fc.tuple(handle, path).map(([h, p]) =>
    named(`mkdir ${h} ${p}`, (w) =>
      w.both(
        h,
        (v) => v.mkdir(p),
        (m) => m.mkdir(p),
      ),
    ),
  ),
  fc.tuple(handle, path).map(([h, p]) =>
    named(`symlink ${h} ${p}`, (w) =>
      w.both(
        h,
        (v) => v.symlink('to', p),
        (m) => m.symlink('to', p),
      ),
    ),
  ),
  fc.tuple(handle, path, fc.boolean()).map(([h, p, recursive]) =>
    named(`remove ${h} ${p} ${recursive}`, (w) =>
      w.both(
        h,
        (v) => v.remove(p, { recursive }),
        (m) => m.remove(p, recursive),
      ),
    ),
  ),
  fc.tuple(handle, path, path).map(([h, from, to]) =>
    named(`rename ${h} ${from} ${to}`, (w) =>
      w.both(
        h,
        (v) => v.rename(from, to),
        (m) => m.rename(from, to),
      ),
    ),
  ),
  fc.tuple(handle, path, path).map(([h, from, to]) =>
    named(`copy ${h} ${from} ${to}`, (w) =>
      w.both(
        h,
        (v) => v.copy(from, to),
        (m) => m.copy(from, to),
      ),
    ),
  ),
  fc.tuple(handle, path).map(([h, p]) =>
    named(`read ${h} ${p}`, (w) =>
      w.both(
        h,
        async (v) => Buffer.from(await v.readFile(p)).toString('base64'),
        (m) => Buffer.from(m.read(p)).toString('base64'),
      ),
    ),
  ),
  handle.map((h) => named(`commit ${h}`, (w) => w.commit(h))),
  handle.map((h) => named(`reload ${h}`, (w) => w.reload(h, false))),
  handle.map((h) => named(`discard ${h}`, (w) => w.reload(h, true))),
  handle.map((h) => named(`reopen ${h}`, (w) => w.reopen(h))),
);

function named(name: string, run: Command): { name: string; run: Command; toString: () => string } {
  return { name, run, toString: () => name };
}

/** One volume, the handles on it, and their models. */
class World {
  private readonly store: Store;
  private readonly name: string;
  private readonly handles: { real: Volume; model: ModelHandle }[] = [];
  private head: Tree = new Map();
  /** Every tree that was committed, by snapshot id: history must keep each. */
  private readonly history = new Map<string, Tree>();

  constructor(store: Store, name: string) {
    this.store = store;
    this.name = name;
  }

  async open(count: number): Promise<void> {
    for (let i = 0; i < count; i++)
      this.handles.push({
        real: await this.store.volumes.fromName(this.name, { createIfMissing: true }),
        model: new ModelHandle(this.head),
      });
  }

  /** The same call on both: the same result, or the same error code. */
  async both(h: number, real: (volume: Volume) => Promise<unknown>, model: (handle: ModelHandle) => unknown): Promise<void> {
    const { real: volume, model: twin } = this.at(h);
    let expected: { value: unknown } | { code: string };
    try {
      expected = { value: model(twin) };
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      expected = { code: error.code };
    }
    const actual = await real(volume).then(
      (value) => ({ value }),
      (error: unknown) => {
        if (typeof (error as { code?: unknown }).code !== 'string') throw error;
        return { code: (error as { code: string }).code };
      },
    );
    expect(actual).toEqual(expected);
  }

  async commit(h: number): Promise<void> {
    const { real, model } = this.at(h);
    const before = this.head;
    const expected = mergeTrees(model.base, model.tree, this.head);
    const result = await real.commit();
    this.head = expected;
    model.base = expected;
    model.tree = new Map(expected);
    expect(result.changed).toBe(!sameTree(before, expected) || this.history.size === 0);
    this.history.set(result.snapshot.id, expected);
    expect(real.dirty).toBe(false);
  }

  async reload(h: number, discard: boolean): Promise<void> {
    const { real, model } = this.at(h);
    await real.reload({ discard });
    if (discard) model.tree = new Map(model.base);
    model.moveTo(this.head);
  }

  async reopen(h: number): Promise<void> {
    const entry = this.at(h);
    await entry.real.close();
    this.handles[h % this.handles.length] = { real: await this.store.volumes.fromName(this.name), model: new ModelHandle(this.head) };
  }

  async check(): Promise<void> {
    for (const { real, model } of this.handles) {
      expect(show(await contents(real))).toEqual(show(model.tree));
      expect(real.dirty).toBe(!sameTree(model.tree, model.base));
    }
    for (const [id, tree] of this.history) expect(show(await contents(await this.at(0).real.snapshot(id)))).toEqual(show(tree));
  }

  async close(): Promise<void> {
    for (const { real } of this.handles) await real.close();
  }

  private at(h: number): { real: Volume; model: ModelHandle } {
    return this.handles[h % this.handles.length]!;
  }
}

async function contents(view: Pick<Volume, 'listdir' | 'readFile'>): Promise<Tree> {
  const tree: Tree = new Map();
  for (const entry of await view.listdir('', { recursive: true })) {
    const node: Node =
      entry.type === 'file'
        ? { type: 'file', bytes: await view.readFile(entry.path) }
        : entry.type === 'symlink'
          ? { type: 'symlink', target: entry.symlinkTarget ?? '' }
          : { type: 'directory' };
    if (node.type === 'file') expect(node.bytes.length).toBe(entry.size);
    tree.set(entry.path, node);
  }
  return tree;
}

function show(tree: Tree): [string, string][] {
  const text = (node: Node): string =>
    node.type === 'file' ? Buffer.from(node.bytes).toString('base64') : node.type === 'symlink' ? `-> ${node.target}` : '/';
  return [...tree].map(([p, node]): [string, string] => [p, text(node)]).sort(([a], [b]) => (a < b ? -1 : 1));
}

async function overwrite(volume: Volume, p: string, at: number, data: Uint8Array): Promise<void> {
  const file = await volume.open(p, 'r+');
  await file.write(data, { position: at });
  await file.close();
}

async function truncate(volume: Volume, p: string, length: number): Promise<void> {
  const file = await volume.open(p, 'r+');
  await file.truncate(length);
  await file.close();
}

/** Bytes without structure, the same for the same seed. */
function noise(length: number, seed: number): Uint8Array {
  const data = new Uint8Array(length);
  let state = seed + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

describe('a volume, whatever is done to it by several handles', () => {
  test('behaves as the plain model of its semantics: contents, listings, errors and history', async () => {
    await using store = await openTemporaryStore();
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), async (commands) => {
        const world = new World(store, `v${++runs}`);
        await world.open(3);
        for (const { run } of commands) await run(world);
        await world.check();
        await world.close();
      }),
      { numRuns: Number(process.env['CAIRN_TEST_RUNS'] ?? 150) },
    );
  }, 300_000);
});
