import fc from 'fast-check';
import { type Snapshot, type Store, type Volume, openTemporaryStore } from '@cairn/core';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Contents that repeat between files, versions and volumes: of one chunk and of several, of text and of noise. */
const CONTENTS = Array.from({ length: 8 }, (_, i) => {
  const bytes = Buffer.alloc(3000 + 45_000 * i);
  for (let at = 0, state = i + 1; at < bytes.length; at++) bytes[at] = state = (Math.imul(state, 1103515245) + 12345) >>> 8;
  return bytes;
});

type Files = Map<string, number>;

const step = fc.record({
  action: fc.constantFrom(
    'write',
    'write',
    'commit',
    'commit',
    'prune',
    'delete',
    'fork',
    'rollback',
    'open',
    'close',
    'discard',
    'gc',
    'optimize',
    'dry',
  ),
  volume: fc.nat({ max: 2 }),
  path: fc.constantFrom('a', 'b', 'f/c', 'f/g/d'),
  content: fc.nat({ max: CONTENTS.length - 1 }),
});

/** One volume through one handle: what its handle shows, and what each of its versions holds. */
interface Opened {
  volume: Volume;
  now: Files;
  versions: Map<string, Files>;
}

class Model {
  readonly store: Store;
  readonly opened = new Map<number, Opened>();
  private readonly snapshots: { snapshot: Snapshot; files: Files }[] = [];
  private forks = 0;

  constructor(store: Store) {
    this.store = store;
  }

  async run({ action, volume: number, path, content }: { action: string; volume: number; path: string; content: number }): Promise<void> {
    const at = this.opened.get(number) ?? (await this.open(number));
    const { volume, now, versions } = at;
    switch (action) {
      case 'write':
        await volume.writeFile(path, CONTENTS[content]!);
        now.set(path, content);
        return;
      case 'commit': {
        const { snapshot } = await volume.commit({ message: String(versions.size) });
        versions.set(snapshot.id, new Map(now));
        return;
      }
      case 'prune': {
        const { removed } = await volume.prune({ keepLast: 1 + (content % 2) });
        for (const { id } of removed) versions.delete(id);
        return;
      }
      case 'delete':
        await this.store.volumes.delete(`v${number}`);
        await volume.close();
        this.opened.delete(number);
        return;
      case 'fork':
        if (versions.size > 0) await this.store.volumes.fork(`v${number}`, `fork-${this.forks++}`);
        return;
      case 'rollback': {
        const [id, files] = [...versions][content % Math.max(1, versions.size)] ?? [];
        if (id === undefined || volume.dirty) return;
        const { snapshot } = await volume.rollback(id);
        at.now = new Map(files);
        versions.set(snapshot.id, new Map(files));
        return;
      }
      case 'open': {
        const [id, files] = [...versions][content % Math.max(1, versions.size)] ?? [];
        if (id !== undefined) this.snapshots.push({ snapshot: await volume.snapshot(id), files: new Map(files) });
        return;
      }
      case 'close':
        await this.snapshots.shift()?.snapshot.close();
        return;
      case 'discard':
        await volume.reload({ discard: true });
        at.now = new Map(volume.base === null ? [] : versions.get(volume.base.id));
        return;
      case 'optimize':
        await this.collect('optimize');
        return;
      case 'gc':
        await this.collect('gc');
        return;
      case 'dry':
        await this.store.gc({ dryRun: true });
        await this.store.optimize({ dryRun: true });
        await this.check();
    }
  }

  /** A dry run tells what the run does; afterwards all is as before. */
  async collect(call: 'gc' | 'optimize'): Promise<void> {
    const expected = await this.store[call]({ dryRun: true });
    const done = await this.store[call]();
    expect(done).toEqual(expected);
    await this.check();
  }

  async check(): Promise<void> {
    for (const { snapshot, files } of this.snapshots) await expectFiles(snapshot, files);
    for (const { volume, now, versions } of this.opened.values()) {
      await expectFiles(volume, now);
      for (const [id, files] of versions) {
        await using snapshot = await volume.snapshot(id);
        await expectFiles(snapshot, files);
      }
    }
    expect(await this.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
  }

  async end(): Promise<void> {
    for (const { snapshot } of this.snapshots) await snapshot.close();
    for (const { volume } of this.opened.values()) await volume.close();
    this.snapshots.length = 0;
    this.opened.clear();
  }

  private async open(number: number): Promise<Opened> {
    const volume = await this.store.volumes.fromName(`v${number}`, { createIfMissing: true });
    const opened = { volume, now: new Map<string, number>(), versions: new Map<string, Files>() };
    this.opened.set(number, opened);
    return opened;
  }
}

async function expectFiles(view: Volume | Snapshot, files: Files): Promise<void> {
  const found: [string, number][] = [];
  for await (const { path, type } of view.iterdir('', { recursive: true })) {
    if (type !== 'file') continue;
    const bytes = Buffer.from(await view.readFile(path));
    found.push([path, CONTENTS.findIndex((content) => content.equals(bytes))]);
  }
  expect(found.sort()).toEqual([...files].sort());
}

function packsOnDisk(dir: string): string[] {
  return readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
}

test('whatever is committed, pruned, deleted, forked, rolled back, opened and left dirty: gc takes only what nobody can see, and all of it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), async (steps) => {
      await using store = await openTemporaryStore({ workers: 1 });
      const model = new Model(store);
      for (const one of steps) await model.run(one);
      await model.check();
      await model.end();
      await store.gc();
      const { stored, unreachable } = await store.usage();
      expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
      expect(await store.gc()).toMatchObject({ packsDropped: 0, packsRewritten: 0, waiting: 0, blockedBy: [] });
      expect((await store.verify({ readData: true })).ok).toBe(true);
      for (const { name } of await store.volumes.list()) await store.volumes.delete(name);
      await store.gc();
      expect(packsOnDisk(store.info().dir)).toEqual([]);
    }),
    { numRuns: Number(process.env['CAIRN_SOAK_GC'] ?? 8) },
  );
}, 300_000);
