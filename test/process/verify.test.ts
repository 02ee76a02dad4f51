import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Progress, Store } from '@cairn/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

const SPEC = { durable: false };
const MIB = 1 << 20;

let dir: string;
let shown: string;

beforeEach(() => {
  const top = tempDir();
  [dir, shown] = [join(top, 'store'), join(top, 'shown')];
});

function inStore<T>(use: (store: Store) => Promise<T>, at = dir): Promise<T> {
  return withStore(at, use, (path) => openStoreOn(SPEC, path, { workers: 2, mergeSmallPacks: false }));
}

async function commit(store: Store, files: Record<string, Uint8Array | string>): Promise<void> {
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  for (const [path, bytes] of Object.entries(files)) await volume.writeFile(path, bytes);
  await volume.commit();
  await volume.close();
}

const packs = (of = dir): string[] =>
  readdirSync(join(of, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));

/** A folder holds a version that left the history of its volume: nothing else needs that any more. */
async function keptByMountOnly(store: Store): Promise<void> {
  await commit(store, { large: noise(2 * MIB, 1) });
  const volume = await store.volumes.fromName('v');
  await (await volume.mount(shown)).close();
  await volume.close();
  await commit(store, { large: 'small' });
  await (await store.volumes.fromName('v')).prune({ keepLast: 1 });
}

/** Turns a bit of the largest pack that lies in the middle of its payloads. */
function damageLargest(): void {
  const [largest] = packs()
    .map((name) => ({ path: join(dir, 'packs', name), bytes: readFileSync(join(dir, 'packs', name)) }))
    .sort((a, b) => b.bytes.length - a.bytes.length);
  largest!.bytes[largest!.bytes.length >>> 1]! ^= 1;
  writeFileSync(largest!.path, largest!.bytes);
}

describe('progress', () => {
  interface Phase {
    phase: string;
    seen: Progress[];
  }

  /** What was told, one entry for each phase; and that within each what is done only grows, up to totals that stay as they are. */
  function phasesOf(told: readonly Progress[]): Phase[] {
    const phases: Phase[] = [];
    for (const progress of told) {
      if (phases.at(-1)?.phase !== progress.phase) phases.push({ phase: progress.phase, seen: [] });
      phases.at(-1)!.seen.push(progress);
    }
    for (const { phase, seen } of phases) {
      for (const [i, { bytes, totalBytes, steps, files }] of seen.entries()) {
        const before = seen[i - 1] ?? { ...seen[0]!, bytes: 0, steps: { ...steps!, done: 0 } };
        expect(files, phase).toBe(0);
        expect(bytes, phase).toBeGreaterThanOrEqual(before.bytes);
        expect(bytes, phase).toBeLessThanOrEqual(totalBytes ?? Infinity);
        expect(totalBytes, phase).toBe(before.totalBytes);
        expect(steps!.done, phase).toBeGreaterThanOrEqual(before.steps!.done);
        expect(steps!.done, phase).toBeLessThanOrEqual(steps!.total ?? Infinity);
        expect(steps!.total, phase).toBe(before.steps!.total);
      }
    }
    return phases;
  }

  const lastOf = (phases: Phase[], name: string): Progress => phases.find(({ phase }) => phase === name)!.seen.at(-1)!;

  test('of verify and repair goes through phases, each of which grows to its total; packs are not counted as files', async () => {
    await inStore(async (store) => {
      for (let i = 0; i < 6; i++) await commit(store, { [`f${i}`]: noise(200_000, i) });
      const told: Progress[] = [];
      await store.verify({ readData: true, onProgress: (progress) => told.push(progress) });
      const phases = phasesOf(told);
      expect(phases.map(({ phase }) => phase)).toEqual(['checking packs', 'checking the index', 'reading packs', 'checking trees']);
      const total = packs().length;
      const { stored } = await store.usage();
      expect(lastOf(phases, 'checking packs').steps).toEqual({ of: 'packs', done: total, total });
      expect(lastOf(phases, 'reading packs')).toMatchObject({
        bytes: stored,
        totalBytes: stored,
        steps: { of: 'packs', done: total, total },
      });
      // Nothing is stored that is not needed.
      const { steps } = lastOf(phases, 'checking trees');
      expect(steps).toEqual({ of: 'objects', done: steps!.total, total: steps!.total });
      expect(lastOf(phases, 'checking the index').steps).toEqual({ of: 'objects', done: steps!.total, total: steps!.total });
    });
    for (const dryRun of [true, false]) {
      const told: Progress[] = [];
      await repairStoreOn(SPEC, dir, { dryRun, onProgress: (progress) => told.push(progress) });
      const ofCollections = told.findIndex(({ steps }) => steps === undefined);
      const phases = phasesOf(told.slice(0, ofCollections < 0 ? told.length : ofCollections));
      const names = phases.map(({ phase }) => phase);
      expect(names.slice(0, 2)).toEqual(['reading packs', 'making the index']);
      expect(names).toContain('checking trees');
      const { bytes, totalBytes, steps } = lastOf(phases, 'reading packs');
      expect([bytes, steps]).toEqual([totalBytes, { of: 'packs', done: packs().length, total: packs().length }]);
      expect(lastOf(phases, 'making the index').steps).toEqual(steps);
    }
  });
});

describe('verify', () => {
  test('looks at what only a mounted folder needs, and names the folder', async () => {
    await inStore(keptByMountOnly);
    damageLargest();
    await inStore(async (store) => {
      await store.gc();
      const { ok, damage } = await store.verify({ readData: true });
      expect(ok).toBe(false);
      expect(damage).toMatchObject([{ kind: 'chunk', affects: [{ volume: 'v', snapshot: '', path: 'large', mount: shown }] }]);
    });
    const foreseen = await repairStoreOn(SPEC, dir, { dryRun: true });
    expect(foreseen.damage).toContainEqual(
      expect.objectContaining({ kind: 'chunk', affects: [expect.objectContaining({ mount: shown })] }),
    );
    const repaired = await repairStoreOn(SPEC, dir, {});
    expect(repaired).toMatchObject({ ok: false, damage: [{ kind: 'chunk', affects: [{ mount: shown }] }] });
    // The folder has a good copy of it.
    expect(await repairStoreOn(SPEC, dir, { sources: [shown] })).toMatchObject({ ok: true, damage: [], healed: 1 });
    await inStore(async (store) => expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] }));
  });

  test('takes nothing for damage that a mount has let go of meanwhile, and a collection has taken', async () => {
    await inStore(async (store) => {
      await commit(store, { a: 'a' });
      const volume = await store.volumes.fromName('v');
      const mount = await volume.mount(shown);
      let moves = 0;
      const moving = (async () => {
        for (; moves < 12; moves++) {
          writeFileSync(join(shown, 'large'), noise(100_000, moves));
          await mount.commit();
          await volume.prune({ keepLast: 1 });
          await volume.reload();
          await store.gc();
        }
      })();
      let looks = 0;
      for (; moves < 12; looks++) expect(await store.verify({ readData: looks % 2 === 0 })).toMatchObject({ ok: true, damage: [] });
      await moving;
      expect(looks).toBeGreaterThan(0);
      await mount.close();
      await volume.close();
    });
  });

  test('counts packs that no index knows, which is no damage, unless they are damaged', async () => {
    const other = join(tempDir(), 'other');
    await inStore((store) => commit(store, { b: noise(300_000, 2) }), other);
    await inStore((store) => commit(store, { a: 'a' }));
    // As of a process that died before it had published what it had sealed.
    const strays = packs(other);
    for (const name of strays) {
      mkdirSync(dirname(join(dir, 'packs', name)), { recursive: true });
      copyFileSync(join(other, 'packs', name), join(dir, 'packs', name));
    }
    await inStore(async (store) => {
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, strayPacks: strays.length, damage: [] });
      const before = (await store.verify()).packs;
      const [name] = strays;
      const path = join(dir, 'packs', name!);
      const whole = readFileSync(path);
      writeFileSync(path, whole.subarray(0, whole.length - 1));
      const id = name!.slice(-37, -5);
      expect(await store.verify()).toMatchObject({ ok: false, packs: before, damage: [{ kind: 'pack', id, affects: [] }] });
      writeFileSync(path, whole);
      await store.gc();
      expect(await store.verify()).toMatchObject({ ok: true, strayPacks: 0 });
    });
  });
});
