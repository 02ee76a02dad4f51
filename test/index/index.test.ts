import fc from 'fast-check';
import { renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DamageError, isCairnError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex, type Digest } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { crc32Of } from '../../packages/core/src/index/crc32.js';
import { IndexEnvironment } from '../../packages/core/src/index/environment.js';
import { objectKey, OBJECTS } from '../../packages/core/src/index/keys.js';
import { IndexReader } from '../../packages/core/src/index/reader.js';
import { refTableOf } from '../../packages/core/src/index/ref-table.js';
import { writeIndex } from '../../packages/core/src/index/transaction.js';
import type { SealedPack } from '../../packages/core/src/pack/footer.js';
import { TableBuilder } from '../../packages/core/src/pack/object-table.js';
import { newPackId, type PackId } from '../../packages/core/src/pack/pack-id.js';
import { newVolumeId } from '../../packages/core/src/refs/ref-table.js';
import type { snapshotId } from '../support/ref-changes.js';
import { history, wish } from '../support/ref-changes.js';
import { tempDir } from '../support/temp-dir.js';

const hasher = createHasher();
const digestOf = (value: number): Digest => hasher.digest(Buffer.from(String(value)));

function openIndex(dir = tempDir()): { env: IndexEnvironment; reader: IndexReader; dir: string } {
  const env = IndexEnvironment.open(dir, { durable: false });
  onTestFinished(() => env.close());
  return { env, reader: new IndexReader(env), dir };
}

/** A pack of chunks whose digests are those of these numbers. */
function packOf(values: number[], id: PackId = newPackId()): SealedPack {
  const builder = new TableBuilder();
  values.forEach((value, i) =>
    builder.add({ kind: ObjectKind.chunk, digest: digestOf(value), encoding: 0, length: 8, storedLength: 8, offset: i * 8 }),
  );
  return { id, sizeBytes: values.length * 64, table: builder.finish() };
}

function publish(env: IndexEnvironment, pack: SealedPack, owner = 'aa'.repeat(16)): void {
  writeIndex(env, (transaction) => {
    transaction.putPack(pack, owner);
    transaction.putObjects(pack.id, pack.table);
  });
}

describe('objects in the index', () => {
  it('are found by kind and digest, and a chunk never poses as a node', () => {
    const { env, reader } = openIndex();
    const pack = packOf([1, 2, 3]);
    publish(env, pack);
    reader.refresh();
    expect(reader.locate(ObjectKind.chunk, digestOf(2))).toEqual({ pack: pack.id, offset: 8, storedLength: 8, length: 8, encoding: 0 });
    expect(reader.locate(ObjectKind.manifestNode, digestOf(2))).toBeUndefined();
    expect(reader.locate(ObjectKind.chunk, digestOf(4))).toBeUndefined();
    const table = Buffer.concat([digestOf(9), digestOf(3)]);
    expect(reader.packOf(ObjectKind.chunk, table, 32)).toBe(pack.id);
    expect(reader.packOf(ObjectKind.chunk, table, 0)).toBeUndefined();
    expect([...reader.objects()].map(({ digest }) => digestToHex(digest)).sort()).toEqual(
      [1, 2, 3].map((value) => digestToHex(digestOf(value))).sort(),
    );
    expect(reader.state()).toMatchObject({ packs: 1, packBytes: pack.sizeBytes });
  });

  it('keep their first location when they are stored again, and a pack counts once', () => {
    const { env, reader } = openIndex();
    const [first, second] = [packOf([1, 2]), packOf([2, 3])];
    for (const pack of [first, second, second]) publish(env, pack);
    reader.refresh();
    expect([1, 2, 3].map((value) => reader.locate(ObjectKind.chunk, digestOf(value))?.pack)).toEqual([first.id, first.id, second.id]);
    expect(reader.state()).toMatchObject({ packs: 2, packBytes: first.sizeBytes + second.sizeBytes });
  });

  it('in a condemned pack count as absent for deduplication until a commit wants the pack back; stored again, they move to the new pack', () => {
    const { env, reader } = openIndex();
    const [doomed, wanted, fresh] = [packOf([1]), packOf([2]), packOf([1])];
    for (const pack of [doomed, wanted]) publish(env, pack);
    writeIndex(env, (transaction) => transaction.condemnPacks([doomed.id, wanted.id]));
    reader.refresh();
    expect(reader.state()).toMatchObject({ epoch: 1, absentPacks: 2 });
    expect(reader.packOf(ObjectKind.chunk, digestOf(1))).toBeUndefined();
    expect(reader.locate(ObjectKind.chunk, digestOf(1))?.pack).toBe(doomed.id);
    const unknown = newPackId();
    expect(writeIndex(env, (transaction) => transaction.retainPacks([wanted.id, unknown]))).toEqual([unknown]);
    publish(env, fresh);
    const later = new IndexReader(env);
    expect(later.packOf(ObjectKind.chunk, digestOf(2))).toBe(wanted.id);
    expect([...later.absentPacks()].map(({ id, condemnedEpoch }) => [id, condemnedEpoch]).sort()).toEqual(
      [
        [doomed.id, 1],
        [wanted.id, 0],
      ].sort(),
    );
    expect(later.locate(ObjectKind.chunk, digestOf(1))?.pack).toBe(fresh.id);
    expect(later.state().absentPacks).toBe(2);
    writeIndex(env, (transaction) => transaction.showPacks([wanted.id]));
    later.refresh();
    expect(new IndexReader(env).packOf(ObjectKind.chunk, digestOf(2))).toBe(wanted.id);
  });
});

describe('the index and the ref journal', () => {
  it('agree after any changes: the index is what the changes add up to', () => {
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 60 }), (some) => {
        const { env, reader } = openIndex();
        for (const { change, table } of history(some)) {
          writeIndex(env, (transaction) => transaction.applyChange(change));
          reader.refresh();
          expect(refTableOf(reader)).toEqual(table);
        }
        for (const volume of reader.volumes()) {
          if (volume.name !== undefined) expect(reader.volumeByName(volume.name)).toEqual(volume);
          for (const { snapshot, generation } of reader.generations(volume.id))
            expect(reader.generationOf(volume.id, snapshot)).toBe(generation);
        }
      }),
      { numRuns: 25 },
    );
  });

  it('list histories in both directions, from any generation, and find snapshots by any prefix', () => {
    const { env, reader } = openIndex();
    const volumeId = newVolumeId();
    const other = newVolumeId();
    const id = (generation: number): ReturnType<typeof snapshotId> =>
      (generation % 2 === 0 ? 'ab' : 'ff').padEnd(60, '0').concat(generation.toString(16).padStart(4, '0')) as ReturnType<
        typeof snapshotId
      >;
    writeIndex(env, (transaction) => {
      for (const volume of [volumeId, other])
        transaction.applyChange({ type: 'volume-created', volumeId: volume, name: volume.slice(0, 8), createdAtMs: 0 });
      for (let generation = 1; generation <= 300; generation++)
        transaction.applyChange({ type: 'head', volumeId, generation, snapshot: id(generation), pack: newPackId() });
    });
    reader.refresh();
    const numbers = (options?: Parameters<IndexReader['generations']>[1]): number[] =>
      [...reader.generations(volumeId, options)].map(({ generation }) => generation);
    const all = Array.from({ length: 300 }, (_, i) => i + 1);
    expect(numbers()).toEqual(all);
    expect(numbers({ reverse: true })).toEqual([...all].reverse());
    expect(numbers({ from: 290 })).toEqual(all.slice(289));
    expect(numbers({ from: 3, reverse: true })).toEqual([3, 2, 1]);
    expect([...reader.generations(other, { reverse: true })]).toEqual([]);
    expect(reader.snapshotsByPrefix(volumeId, id(298)).map(({ generation }) => generation)).toEqual([298]);
    expect(reader.snapshotsByPrefix(volumeId, 'ff')).toHaveLength(150);
    expect(reader.snapshotsByPrefix(volumeId, 'ab0000')).toHaveLength(150);
    expect(reader.snapshotsByPrefix(other, 'ff')).toEqual([]);
  });
});

describe('a damaged index', () => {
  it('is known by the CRC-32 of zlib', () => {
    fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => crc32Of(a, b, b.length) === crc32(Buffer.concat([a, b]))));
  });

  it('answers with an error, never with something else, when any bit of a record has flipped', () => {
    const { env, reader } = openIndex();
    publish(env, packOf([1]));
    const key = objectKey(ObjectKind.chunk, digestOf(1));
    const whole = Uint8Array.from(env.db.getBinary(key)!);
    for (let bit = 0; bit < whole.byteLength * 8; bit++) {
      const altered = Uint8Array.from(whole);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      env.transaction(() => void env.db.put(key, altered));
      reader.refresh();
      expect(() => reader.locate(ObjectKind.chunk, digestOf(1))).toThrow(DamageError);
      expect(() => reader.packOf(ObjectKind.chunk, digestOf(1))).toThrow(DamageError);
      expect(() => [...reader.objects()]).toThrow(DamageError);
    }
    // The same value under another key is as wrong.
    env.transaction(() => void env.db.put(objectKey(ObjectKind.chunk, digestOf(2)), whole));
    reader.refresh();
    expect(() => reader.locate(ObjectKind.chunk, digestOf(2))).toThrow(DamageError);
  });
});

describe('the environment of the index', () => {
  it('undoes everything of a transaction that throws, and of one that returns a promise', () => {
    const { env, reader } = openIndex();
    const attempt = (end: () => unknown): void =>
      env.transaction(() => {
        void env.db.put(objectKey(ObjectKind.chunk, digestOf(1)), Buffer.from('x'));
        return end() as undefined;
      });
    expect(() =>
      attempt(() => {
        throw new RangeError('no');
      }),
    ).toThrow(RangeError);
    expect(() => attempt(() => Promise.resolve())).toThrow(TypeError);
    expect([...env.db.getKeys(OBJECTS)]).toEqual([]);
    publish(env, packOf([1]));
    expect(reader.locate(ObjectKind.chunk, digestOf(1))).toBeDefined();
  });

  it('takes no commit once another file has its name', () => {
    const { env, dir } = openIndex();
    publish(env, packOf([1]));
    renameSync(join(dir, 'data.mdb'), join(dir, 'old.mdb'));
    let code: string | undefined;
    try {
      publish(env, packOf([2]));
    } catch (error) {
      code = isCairnError(error) ? error.code : String(error);
    }
    expect(code).toBe('CAIRN_INDEX_REPLACED');
  });

  it('makes files that only their owner can read', () => {
    const { dir } = openIndex(join(tempDir(), 'index'));
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of ['data.mdb', 'lock.mdb']) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
  });

  it('tells a file that is no index', () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'data.mdb'), Buffer.alloc(65536, 'not an index '));
    expect(() => openIndex(dir)).toThrow(DamageError);
  });
});
