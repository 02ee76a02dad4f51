import { isCairnError, openStore, type Store } from '@cairn/core';
import fc from 'fast-check';
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chunksOf } from '../../packages/core/dist/content/content.js';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { digestFromHex, digestToHex, type Digest } from '../../packages/core/dist/hash/digest.js';
import { ObjectKind } from '../../packages/core/dist/hash/object-kind.js';
import { IndexEnvironment } from '../../packages/core/dist/index/environment.js';
import { IndexReader } from '../../packages/core/dist/index/reader.js';
import type { Location } from '../../packages/core/dist/index/records.js';
import { refTableOf } from '../../packages/core/dist/index/ref-table.js';
import { walkTree } from '../../packages/core/dist/manifest/read.js';
import { ObjectReader } from '../../packages/core/dist/objects/object-reader.js';
import { readRow, rowCount } from '../../packages/core/dist/pack/object-table.js';
import { PackFiles } from '../../packages/core/dist/pack/pack-files.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import { rebuildState } from '../../packages/core/dist/publish/rebuild-state.js';
import type { RefTable } from '../../packages/core/dist/refs/ref-table.js';
import { decodeSnapshotRecord } from '../../packages/core/dist/snapshot/record.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { codeOf, failureOf } from '../support/failures.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

const RUNS = Number(process.env['CAIRN_TEST_RUNS'] ?? 6);
const hasher = createHasher();

/** What is in a tree, in one line a path. */
type Listing = string[];

const volumeName = fc.constantFrom('a', 'b', 'c');
const path = fc.constantFrom('x', 'y', 'folder/x', 'folder/deep/y');
const size = fc.constantFrom(0, 10, 9000, 200_000, 4_500_000);

interface Change {
  name: string;
  run(store: Store): Promise<void>;
}

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(volumeName, path, size, fc.nat(9))
      .map(([v, p, length, seed]) => named(`commit ${v} ${p} ${length}`, (s) => writeAndCommit(s, v, p, length, seed))),
  },
  { weight: 2, arbitrary: fc.tuple(volumeName, path).map(([v, p]) => named(`remove ${v} ${p}`, (s) => removeAndCommit(s, v, p))) },
  volumeName.map((v) => named(`delete ${v}`, (s) => s.volumes.delete(v))),
  fc.tuple(volumeName, volumeName).map(([from, to]) => named(`rename ${from} ${to}`, (s) => s.volumes.rename(from, to))),
  fc
    .tuple(volumeName, volumeName, fc.nat(2))
    .map(([from, to, back]) => named(`fork ${from}@HEAD~${back} ${to}`, (s) => s.volumes.fork(from, to, { at: `HEAD~${back}` }))),
  fc
    .tuple(volumeName, fc.nat(2), fc.nat(3))
    .map(([v, tag, back]) =>
      named(`tag ${v} t${tag} ${back}`, async (s) => (await s.volumes.fromName(v)).tag(`t${tag}`, `HEAD~${back}`, { force: true })),
    ),
  fc
    .tuple(volumeName, fc.nat(2))
    .map(([v, tag]) => named(`untag ${v} t${tag}`, async (s) => (await s.volumes.fromName(v)).untag(`t${tag}`))),
  fc
    .tuple(volumeName, fc.nat(3))
    .map(([v, back]) => named(`rollback ${v} ${back}`, async (s) => void (await (await s.volumes.fromName(v)).rollback(`HEAD~${back}`)))),
);

function named(name: string, run: Change['run']): Change & { toString(): string } {
  return { name, run, toString: () => name };
}

async function writeAndCommit(store: Store, name: string, at: string, length: number, seed: number): Promise<void> {
  const volume = await store.volumes.fromName(name, { createIfMissing: true });
  await volume.writeFile(at, noise(length, seed));
  await volume.symlink(at, 'newest');
  await volume.commit();
}

async function removeAndCommit(store: Store, name: string, at: string): Promise<void> {
  const volume = await store.volumes.fromName(name);
  await volume.remove(at, { recursive: true });
  await volume.commit();
}

/** Every snapshot of every volume as the public API shows it, by id. */
async function snapshotsOf(store: Store): Promise<Map<string, Listing>> {
  const snapshots = new Map<string, Listing>();
  for (const { name } of await store.volumes.list()) {
    const volume = await store.volumes.fromName(name);
    for await (const { id } of volume.history()) {
      if (snapshots.has(id)) continue;
      const snapshot = await volume.snapshot(id);
      const lines: Listing = [];
      for (const { path: at, type, symlinkTarget } of await snapshot.listdir('', { recursive: true })) {
        lines.push(`${at} ${type === 'file' ? digestToHex(hasher.digest(await snapshot.readFile(at))) : (symlinkTarget ?? '/')}`);
      }
      snapshots.set(id, lines.sort());
    }
  }
  return snapshots;
}

/** The same from packs and journal alone. */
function rebuiltSnapshots(dir: string): { table: RefTable; snapshots: Map<string, Listing> } {
  const { table, packs, damage } = rebuildState(dir, hasher);
  const places = new Map<string, Location>();
  for (const { id, table: rows } of packs()) {
    for (let i = 0; i < rowCount(rows); i++) {
      const row = readRow(rows, i);
      places.set(`${row.kind} ${digestToHex(row.digest)}`, { ...row, pack: id });
    }
  }
  expect(damage).toEqual([]);
  const locate = (kind: ObjectKind, digest: Digest): Location | undefined => places.get(`${kind} ${digestToHex(digest)}`);
  const files = new PackFiles(new StoreLayout(dir));
  const objects = new ObjectReader({ locate, refresh: () => undefined } as unknown as IndexReader, files, hasher);
  const snapshots = new Map<string, Listing>();
  for (const volume of table.volumes.values()) {
    for (const [generation, id] of volume.generations) {
      const record = decodeSnapshotRecord(objects.get(ObjectKind.snapshot, digestFromHex(id)));
      expect(record.generation).toBe(generation);
      const lines: Listing = [];
      for (const [at, entry] of walkTree(objects, record.root, '')) {
        if (entry.type !== 'file') lines.push(`${at} ${entry.type === 'symlink' ? entry.target : '/'}`);
        else {
          const bytes = Buffer.concat([...chunksOf(objects, entry.content)].map(({ digest }) => objects.get(ObjectKind.chunk, digest)));
          lines.push(`${at} ${digestToHex(hasher.digest(bytes))}`);
        }
      }
      snapshots.set(id, lines.sort());
    }
  }
  files.closeAll();
  return { table, snapshots };
}

async function indexTable(dir: string): Promise<RefTable> {
  const reader = new IndexReader(IndexEnvironment.open(new StoreLayout(dir).indexDir, { durable: false }));
  try {
    return refTableOf(reader);
  } finally {
    await reader.close();
  }
}

/** Unsynced: nothing here asks what a power cut would leave. */
function inStore<T>(dir: string, use: (store: Store) => Promise<T>): Promise<T> {
  return withStore(dir, use, (at) => openStoreOn({ durable: false }, at, { workers: 1 }));
}

/** Every file but those of the index, with what is in it. */
function truthOf(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath !== join(dir, 'index'))
    .map((entry) => `${join(entry.parentPath, entry.name)} ${digestToHex(hasher.digest(readFileSync(join(entry.parentPath, entry.name))))}`)
    .sort();
}

describe('packs and ref journal', () => {
  test('alone tell all heads, tags, names, histories and trees that the index tells, after any changes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 5, maxLength: 25 }), async (changes) => {
        const dir = join(tempDir(), 'store');
        const expected = await inStore(dir, async (store) => {
          for (const { run } of changes) {
            await run(store).catch((error: unknown) => {
              if (!isCairnError(error) || error.code === 'CAIRN_DAMAGED') throw error;
            });
          }
          return snapshotsOf(store);
        });
        const { table, snapshots } = rebuiltSnapshots(dir);
        expect(table).toEqual(await indexTable(dir));
        expect(snapshots).toEqual(expected);
      }),
      { numRuns: RUNS },
    );
  }, 300_000);

  test('do so over hundreds of changes, when most of the journal is tidied away', async () => {
    const dir = join(tempDir(), 'store');
    const expected = await inStore(dir, async (store) => {
      await writeAndCommit(store, 'a', 'x', 100, 1);
      const volume = await store.volumes.fromName('a');
      for (let i = 0; i < 560; i++) {
        if (i % 40 === 0) await writeAndCommit(store, 'a', 'x', 100, i);
        await volume.tag(`tag-${i % 50}`, 'HEAD', { force: true });
        if (i % 3 === 0) await volume.untag(`tag-${i % 50}`);
      }
      await store.volumes.fork('a', 'b');
      return snapshotsOf(store);
    });
    expect(readdirSync(join(dir, 'refs')).length).toBeLessThan(520);
    const { table, snapshots } = rebuiltSnapshots(dir);
    expect(table).toEqual(await indexTable(dir));
    expect(snapshots).toEqual(expected);
  });
});

describe('a store without its index', () => {
  test('is refused with a typed error, again and again, and nothing of it is destroyed', async () => {
    const dir = join(tempDir(), 'store');
    const expected = await inStore(dir, async (store) => {
      await writeAndCommit(store, 'a', 'x', 200_000, 1);
      await writeAndCommit(store, 'b', 'x', 5_000_000, 2);
      return snapshotsOf(store);
    });
    const truth = truthOf(dir);
    cpSync(join(dir, 'index'), join(dir, '..', 'kept'), { recursive: true });
    rmSync(join(dir, 'index'), { recursive: true });

    for (const options of [{}, { create: false }, { readOnly: true }, {}]) {
      const error = await failureOf(openStore(dir, options));
      expect(codeOf(error)).toBe('CAIRN_DAMAGED');
      expect(error).toMatchObject({ hint: expect.stringMatching(/./), damage: [{ kind: 'index' }] });
      expect(truthOf(dir)).toEqual(truth);
    }
    expect(rebuiltSnapshots(dir).snapshots).toEqual(expected);

    rmSync(join(dir, 'index'), { recursive: true });
    cpSync(join(dir, '..', 'kept'), join(dir, 'index'), { recursive: true });
    expect(await inStore(dir, snapshotsOf)).toEqual(expected);
  });

  test('and an old index in its place is refused too', async () => {
    const dir = join(tempDir(), 'store');
    await inStore(dir, (store) => writeAndCommit(store, 'a', 'x', 1000, 1));
    cpSync(join(dir, 'index'), join(dir, '..', 'old'), { recursive: true });
    await inStore(dir, async (store) => {
      await writeAndCommit(store, 'a', 'x', 1000, 2);
      await writeAndCommit(store, 'a', 'y', 1000, 3);
    });
    rmSync(join(dir, 'index'), { recursive: true });
    cpSync(join(dir, '..', 'old'), join(dir, 'index'), { recursive: true });
    const truth = truthOf(dir);
    await expect(openStore(dir)).rejects.toMatchObject({ code: 'CAIRN_DAMAGED' });
    expect(truthOf(dir)).toEqual(truth);
  });
});
