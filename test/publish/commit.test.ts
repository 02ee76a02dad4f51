import fc from 'fast-check';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isCairnError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { refTableOf } from '../../packages/core/src/index/ref-table.js';
import { writeIndex } from '../../packages/core/src/index/transaction.js';
import { listPacks } from '../../packages/core/src/pack/list-packs.js';
import { rows } from '../../packages/core/src/pack/object-table.js';
import type { StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import { changeVolume } from '../../packages/core/src/publish/change-volume.js';
import { commit } from '../../packages/core/src/publish/commit.js';
import { encodeClaims, encodeHolder, LEASE_BYTES, slotPosition, type LeaseHolder } from '../../packages/core/src/publish/lease-file.js';
import { thisProcess } from '../../packages/core/src/publish/process-identity.js';
import { rebuildState } from '../../packages/core/src/publish/rebuild-state.js';
import { publishPacks, storeObjects } from '../../packages/core/src/publish/store-objects.js';
import { newVolumeId } from '../../packages/core/src/refs/ref-table.js';
import { readJournal } from '../../packages/core/src/refs/journal.js';
import { makeStore, openRig, orderOf, type Rig } from '../support/publish-rig.js';
import { wish } from '../support/ref-changes.js';
import { tempDir } from '../support/temp-dir.js';

const hasher = createHasher();

async function newRig(config = {}): Promise<Rig> {
  const dir = tempDir();
  await makeStore(dir);
  return (await openRig(dir, undefined, config)).start();
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isCairnError(error)) return error.code;
    throw error;
  }
  return 'ok';
}

/** Index, journal and packs tell the same, and every object of the packs is where the index says. */
function expectConsistent(rig: Rig): void {
  const { reader, config } = rig.parts;
  reader.refresh();
  const rebuilt = rebuildState(config.dir, hasher);
  expect(refTableOf(reader)).toEqual(rebuilt.table);
  const known = new Map([...reader.objects()].map((object) => [`${object.kind}${digestToHex(object.digest)}`, object]));
  const places = new Map<string, string[]>();
  for (const pack of rebuilt.packs()) {
    for (const { kind, digest, ...place } of rows(pack.table)) {
      const key = `${kind}${digestToHex(digest)}`;
      places.set(key, [
        ...(places.get(key) ?? []),
        JSON.stringify({ pack: pack.id, offset: place.offset, storedLength: place.storedLength }),
      ]);
    }
  }
  expect([...known.keys()].sort()).toEqual([...places.keys()].sort());
  for (const [key, { pack, offset, storedLength }] of known)
    expect(places.get(key)).toContain(JSON.stringify({ pack, offset, storedLength }));
  expect(rebuilt.damage).toEqual([]);
}

describe('a commit', () => {
  it('moves the head, and its snapshot tells tree, parent, generation, message and metadata', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    const first = rig.commit(volumeId, { a: 'one' });
    const second = rig.commit(
      volumeId,
      { b: 'two' },
      { message: 'more', metadata: { loss: 0.5, final: true, tag: 'x' }, createdAtMs: 77, newBytes: 3 },
    );
    expect(rig.files(volumeId)).toEqual({ a: 'one', b: 'two' });
    if (first.status !== 'committed' || second.status !== 'committed') throw new Error('not committed');
    expect(second.record).toEqual({
      volumeId,
      generation: 2,
      parent: first.snapshot,
      root: rig.head(volumeId).root,
      createdAtMs: 77,
      newBytes: 3,
      message: 'more',
      metadata: { loss: 0.5, final: true, tag: 'x' },
    });
    expectConsistent(rig);
  });

  it('without changes makes no snapshot, unless it is the first, or a message or metadata asks for one', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    expect(rig.commit(volumeId, {}).status).toBe('committed');
    rig.commit(volumeId, { a: 'one' });
    expect(rig.commit(volumeId, { a: 'one' })).toEqual({ status: 'unchanged', head: rig.head(volumeId), overwritten: [] });
    expect(rig.commit(volumeId, {}, { keepUnchanged: true }).status).toBe('committed');
    expect(rig.head(volumeId).generation).toBe(3);
  });

  it('is merged onto a head that has moved; what both changed is ours, and is named', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    rig.commit(volumeId, { a: 'one', both: 'base' });
    const base = rig.head(volumeId);
    rig.commit(volumeId, { b: 'theirs', both: 'theirs' });
    const outcome = rig.commit(volumeId, { c: 'ours', both: 'ours' }, { base });
    expect(outcome).toMatchObject({ status: 'committed', overwritten: ['both'] });
    expect(rig.files(volumeId)).toEqual({ a: 'one', b: 'theirs', both: 'ours', c: 'ours' });
    // What another handle made the same is no change any more.
    expect(rig.commit(volumeId, { b: 'theirs' }, { base }).status).toBe('unchanged');
    expectConsistent(rig);
  });

  it.each(['fail', 'report'] as const)('with policy %s publishes nothing over a conflict and names the paths', async (policy) => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    rig.commit(volumeId, { both: 'base' });
    const base = rig.head(volumeId);
    rig.commit(volumeId, { both: 'theirs' });
    const packs = [...listPacks(rig.parts.layout)];
    expect(rig.commit(volumeId, { both: 'ours', mine: 'x' }, { base, policy })).toEqual({
      status: 'conflict',
      paths: ['both'],
      head: rig.head(volumeId),
    });
    expect(rig.files(volumeId)).toEqual({ both: 'theirs' });
    expect([...listPacks(rig.parts.layout)]).toEqual(packs);
    expect(rig.commit(volumeId, { mine: 'x' }, { base, policy }).status).toBe('committed');
  });

  it('of a batch never puts a file over a folder, whatever the policy', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    rig.commit(volumeId, { z: 'base' });
    const base = rig.head(volumeId);
    rig.commit(volumeId, { 'x/': '', 'x/in': 'theirs' });
    expect(rig.commit(volumeId, { x: 'file' }, { base, refuseFileOverFolder: true })).toMatchObject({ status: 'conflict', paths: ['x'] });
    expect(rig.commit(volumeId, { x: 'file' }, { base })).toMatchObject({ status: 'committed', overwritten: ['x', 'x/in'] });
  });

  it('of a large change that meets a large change merges before it takes the lock, with the same result', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    const many = (prefix: string): Record<string, string> =>
      Object.fromEntries(Array.from({ length: 20_100 }, (_, i) => [`${prefix}${i}`, prefix]));
    rig.commit(volumeId, { both: 'base' });
    const base = rig.head(volumeId);
    rig.commit(volumeId, { ...many('t'), both: 'theirs' });
    expect(rig.commit(volumeId, { o: 'ours', both: 'ours' }, { base, policy: 'fail' })).toMatchObject({
      status: 'conflict',
      paths: ['both'],
    });
    expect(rig.commit(volumeId, { o: 'ours', both: 'ours' }, { base })).toMatchObject({ status: 'committed', overwritten: ['both'] });
    expect(rig.files(volumeId)).toEqual({ ...many('t'), both: 'ours', o: 'ours' });
  });

  it('stores what the store holds already not again, unless its pack is condemned', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    const text = 'the same bytes '.repeat(50);
    rig.commit(volumeId, { a: text });
    const chunk = hasher.digest(Buffer.from(text));
    const { ours, objects } = rig.edit(rig.head(volumeId).root, { b: text });
    const { pack } = rig.parts.reader.locate(ObjectKind.chunk, chunk)!;
    rig.commit(volumeId, { b: text }, {});
    expect(objects.some((object) => object.kind === ObjectKind.chunk)).toBe(false);
    expect(rig.head(volumeId).root).toEqual(ours);
    expect(rig.parts.reader.locate(ObjectKind.chunk, chunk)!.pack).toBe(pack);
    writeIndex(rig.parts.env, (transaction) => transaction.condemnPacks([pack]));
    rig.parts.reader.refresh();
    rig.commit(volumeId, { c: text });
    rig.parts.reader.refresh();
    expect(rig.parts.reader.locate(ObjectKind.chunk, chunk)!.pack).not.toBe(pack);
    expectConsistent(rig);
  });

  it('keeps a condemned pack that what it deduplicated against lies in, and is refused when that is gone', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    rig.commit(volumeId, { a: 'one' });
    const { ours, objects } = rig.edit(rig.head(volumeId).root, { b: 'one' });
    const next = rig.edit(rig.head(volumeId).root, { c: 'one' });
    const order = { ...orderOf(volumeId, rig.head(volumeId), ours), pendingEpoch: 0 };
    const late = { ...orderOf(volumeId, rig.head(volumeId), next.ours), pendingEpoch: 0 };
    const pack = rig.parts.reader.packs().next().value!.id;
    writeIndex(rig.parts.env, (transaction) => transaction.condemnPacks([pack]));
    expect(commit(rig.parts, order, objects).status).toBe('committed');
    rig.parts.reader.refresh();
    expect(rig.parts.reader.absentPack(pack)).toMatchObject({ condemnedEpoch: 0 });
    expect(rig.files(volumeId)).toEqual({ a: 'one', b: 'one' });

    writeIndex(rig.parts.env, (transaction) => transaction.condemnPacks([pack]));
    writeIndex(rig.parts.env, (transaction) => transaction.doomPacks([pack]));
    expect(codeOf(() => commit(rig.parts, late, next.objects))).toBe('CAIRN_DAMAGED');
  });

  it('over the size limit is refused, leaves no bytes behind, and smaller ones still fit', async () => {
    const rig = await newRig({ maxBytes: 6000, compression: 'none' });
    const volumeId = rig.create('models');
    rig.commit(volumeId, { a: 'x'.repeat(2000) });
    const packs = [...listPacks(rig.parts.layout)];
    expect(codeOf(() => rig.commit(volumeId, { b: 'y'.repeat(4000) }))).toBe('CAIRN_STORE_FULL');
    expect(
      codeOf(() => storeObjects(rig.parts, [{ kind: 0, digest: hasher.digest(Buffer.alloc(4000, 1)), bytes: Buffer.alloc(4000, 1) }])),
    ).toBe('CAIRN_STORE_FULL');
    expect([...listPacks(rig.parts.layout)]).toEqual(packs);
    expect(rig.commit(volumeId, { b: 'z' }).status).toBe('committed');
    expectConsistent(rig);
  });

  it('whose every disk call fails in turn either publishes nothing or everything, and the next one works', async () => {
    for (const error of ['EIO', 'ENOSPC'] as const) {
      for (let failAt = 1; ; failAt++) {
        const dir = tempDir();
        await makeStore(dir);
        const setUp = (await openRig(dir)).start();
        const volumeId = setUp.create('models');
        setUp.commit(volumeId, { a: 'one' });
        await setUp.close();
        const counter = new SharedArrayBuffer(4);
        const rig = await openRig(dir, { failAt, error, counter });
        const code = codeOf(() => rig.start().commit(volumeId, { b: 'two' }));
        const fired = new Int32Array(counter)[0]! >= failAt;
        // A call that only clears up may fail without harm.
        expect(['ok', fired ? error : 'ok']).toContain(code);
        expect(rig.files(volumeId)).toEqual(code === 'ok' ? { a: 'one', b: 'two' } : { a: 'one' });
        await rig.close();
        const after = (await openRig(dir)).start();
        after.commit(volumeId, { c: 'three' });
        expect(after.files(volumeId)).toEqual({ a: 'one', c: 'three', ...(code === 'ok' ? { b: 'two' } : {}) });
        expectConsistent(after);
        await after.close();
        if (!fired) break;
      }
    }
  });
});

describe('a process that dies', () => {
  it('at any disk call leaves at most its unacknowledged commit behind, which the next one applies or never sees', async () => {
    for (let failAt = 1; ; failAt++) {
      const dir = tempDir();
      await makeStore(dir);
      const setUp = (await openRig(dir)).start();
      const volumeId = setUp.create('models');
      setUp.commit(volumeId, { a: 'one' });
      await setUp.close();
      const counter = new SharedArrayBuffer(4);
      // A disk that fails for good: nothing can be taken back or cleared up any more, as when the process is gone.
      const dying = await openRig(dir, { failAt, counter, persistent: true });
      const code = codeOf(() => dying.start().commit(volumeId, { b: 'two' }));
      const fired = new Int32Array(counter)[0]! >= failAt;
      await dying.close();
      const after = (await openRig(dir)).start();
      expect([{ a: 'one' }, { a: 'one', b: 'two' }]).toContainEqual(after.files(volumeId));
      if (code === 'ok') expect(after.files(volumeId)).toEqual({ a: 'one', b: 'two' });
      after.commit(volumeId, { c: 'three' });
      expect(after.files(volumeId)).toMatchObject({ a: 'one', c: 'three' });
      const { table, damage } = rebuildState(dir, hasher);
      expect([refTableOf(after.parts.reader), damage]).toEqual([table, []]);
      await after.close();
      if (!fired) break;
    }
  });
});

describe('packs and objects ahead of a commit', () => {
  it('are found once they are published, in any number, and not twice', async () => {
    const rig = await newRig();
    const objects = Array.from({ length: 5000 }, (_, i) => Buffer.from(`object ${i}`)).map((bytes) => ({
      kind: ObjectKind.chunk,
      digest: hasher.digest(bytes),
      bytes: new Uint8Array(bytes),
    }));
    expect(storeObjects(rig.parts, objects).storedBytes).toBeGreaterThan(0);
    expect(storeObjects(rig.parts, objects)).toEqual({ storedBytes: 0 });
    rig.parts.reader.refresh();
    expect(objects.every(({ digest }) => rig.parts.reader.packOf(ObjectKind.chunk, digest) !== undefined)).toBe(true);
    const [pack] = [...rebuildState(rig.parts.config.dir, hasher).packs()];
    publishPacks(rig.parts, [pack!, pack!]);
    rig.parts.reader.refresh();
    expect(rig.parts.reader.state()).toMatchObject({ packs: 1, packBytes: pack!.sizeBytes });
    expectConsistent(rig);
  });
});

describe('names, tags and histories', () => {
  it('are checked under the lock', async () => {
    const rig = await newRig();
    const { parts } = rig;
    const volumeId = rig.create('a');
    rig.create('b');
    const first = rig.commit(volumeId, { x: '1' });
    const second = rig.commit(volumeId, { x: '2' });
    if (first.status !== 'committed' || second.status !== 'committed') throw new Error('not committed');
    const [one, two] = [digestToHex(first.snapshot), digestToHex(second.snapshot)];
    const change = (wanted: Parameters<typeof changeVolume>[1], checks = {}): string => codeOf(() => changeVolume(parts, wanted, checks));
    const unknown = newVolumeId();
    const creation = { type: 'volume-created', volumeId: unknown, name: 'a', createdAtMs: 1 } as const;
    expect(change(creation)).toBe('CAIRN_VOLUME_EXISTS');
    expect(changeVolume(parts, creation, { allowExisting: true })).toMatchObject({ volume: { id: volumeId }, applied: null });
    expect(change({ ...creation, name: 'f', from: { volumeId: unknown, generation: 1 } })).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(change({ ...creation, name: 'f', from: { volumeId, generation: 9 } })).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(change({ type: 'volume-renamed', volumeId, name: 'b' })).toBe('CAIRN_VOLUME_EXISTS');
    expect(changeVolume(parts, { type: 'volume-renamed', volumeId, name: 'a' }, {}).applied).toBeNull();
    expect(change({ type: 'tag', volumeId, tag: 't', snapshot: one })).toBe('ok');
    expect(change({ type: 'tag', volumeId, tag: 't', snapshot: one })).toBe('ok');
    expect(change({ type: 'tag', volumeId, tag: 't', snapshot: two })).toBe('CAIRN_TAG_EXISTS');
    expect(change({ type: 'tag', volumeId, tag: 'u', snapshot: 'ab'.repeat(32) as typeof one })).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(change({ type: 'untag', volumeId, tag: 'u' })).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    rig.commit(volumeId, { x: '3' });
    expect(changeVolume(parts, { type: 'prune', volumeId, generations: [1, 2, 3, 7] }, {}).applied).toMatchObject({ generations: [2] });
    expect(change({ type: 'tag', volumeId, tag: 't', snapshot: two }, { force: true })).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(change({ type: 'volume-deleted', volumeId: unknown })).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(change({ type: 'volume-deleted', volumeId: unknown }, { allowMissing: true })).toBe('ok');
    expect(change({ type: 'volume-deleted', volumeId })).toBe('ok');
    expect(codeOf(() => rig.commit(volumeId, { x: '4' }, { base: { generation: 0, root: null } }))).toBe('CAIRN_VOLUME_NOT_FOUND');
    expectConsistent(rig);
  });

  it('of an ephemeral volume: it has no name and belongs to its engine', async () => {
    const rig = await newRig();
    const { volume } = changeVolume(
      rig.parts,
      { type: 'volume-created', volumeId: newVolumeId(), name: '', createdAtMs: 1, ephemeral: true },
      {},
    );
    expect(volume).toMatchObject({ name: undefined, ephemeralOwner: rig.parts.lease });
    expectConsistent(rig);
  });

  it('are the same in index, journal and a rebuild after any mixture of commits and changes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(wish, { maxLength: 40 }), async (some) => {
        const rig = await newRig();
        for (const { type, pick, name } of some) {
          rig.parts.reader.refresh();
          const volumes = rig.parts.reader.volumes();
          const volumeId = volumes[pick % Math.max(1, volumes.length)]?.id ?? newVolumeId();
          const steps = [...rig.parts.reader.generations(volumeId)];
          const snapshot = digestToHex(steps[pick % Math.max(1, steps.length)]?.snapshot ?? hasher.digest(Buffer.of(1)));
          codeOf(() => {
            if (type === 'head')
              rig.commit(volumeId, { [name]: String(pick) }, volumes.length === 0 ? { base: { generation: 0, root: null } } : {});
            else if (type === 'volume-created')
              changeVolume(
                rig.parts,
                {
                  type,
                  volumeId: newVolumeId(),
                  name,
                  createdAtMs: pick,
                  ...(steps.length > 0 ? { from: { volumeId, generation: steps[0]!.generation } } : {}),
                },
                {},
              );
            else if (type === 'volume-renamed') changeVolume(rig.parts, { type, volumeId, name }, {});
            else if (type === 'volume-deleted') changeVolume(rig.parts, { type, volumeId }, {});
            else if (type === 'prune')
              changeVolume(rig.parts, { type, volumeId, generations: steps.map(({ generation }) => generation) }, {});
            else changeVolume(rig.parts, { type, volumeId, tag: name, snapshot }, { force: true });
          });
        }
        expectConsistent(rig);
      }),
      { numRuns: 12 },
    );
  });
});

function writeLease(layout: StoreLayout, id: string, holder: LeaseHolder): void {
  const bytes = new Uint8Array(LEASE_BYTES);
  bytes.set(encodeHolder(holder));
  bytes.set(encodeClaims(0, { since: 0, pins: [], pendingEpoch: null }), slotPosition(0));
  writeFileSync(layout.leasePath(id), bytes);
}

describe('a store that is opened again', () => {
  it('is refused for writing when its index is lost, rather than looking empty', async () => {
    const rig = await newRig();
    const volumeId = rig.create('models');
    for (let i = 0; i < 3; i++) rig.commit(volumeId, { a: String(i) });
    await rig.close();
    const { dir } = rig.parts.config;
    rmSync(join(dir, 'index'), { recursive: true });
    const again = await openRig(dir);
    expect(codeOf(() => again.start())).toBe('CAIRN_DAMAGED');
    expect(readJournal(join(dir, 'refs'), hasher).table.seq).toBe(4);
  });

  it('loses the unfinished packs and the leases of dead processes, and nothing of living ones', async () => {
    const rig = await newRig();
    const { layout } = rig.parts;
    const id = [...'abcd'].map((letter) => letter.repeat(32));
    rig.commit(rig.create('models'), { a: 'one' });
    const self = { ...thisProcess(), createdAtMs: 0, index: rig.parts.env.identity };
    writeLease(layout, id[0]!, self);
    writeLease(layout, id[1]!, { ...self, startTime: self.startTime + 1 });
    writeLease(layout, id[2]!, { ...self, pid: 1, pidNamespace: self.pidNamespace + 1 });
    writeLease(layout, id[3]!, { ...self, bootId: 'another boot' });
    for (const owner of [...id, 'e'.repeat(32)]) writeFileSync(layout.incomingPath(owner, owner as never), 'unfinished');
    writeFileSync(join(layout.refsDir, '.0123456789abcdef.tmp'), 'unfinished');
    const next = (await openRig(layout.dir)).start();
    expect(readdirSync(next.parts.layout.leasesDir).sort()).toEqual([id[0], id[2]]);
    expect(
      readdirSync(layout.incomingDir)
        .map((name) => name.slice(0, 32))
        .sort(),
    ).toEqual([id[0], id[2]]);
    expect(readdirSync(layout.refsDir).every((name) => /^\d{16}$/.test(name))).toBe(true);
  });
});
