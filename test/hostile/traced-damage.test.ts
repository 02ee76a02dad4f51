import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, type Damage, type Store, type Volume } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { ggufHeader, safetensorsHeader } from '../chunking/samples.js';
import { collect } from '../contract/support.js';
import { damageObject } from '../support/damage-object.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

const BLOCK = 300_000;
const NAMES = ['embed', 'layers.0', 'layers.1', 'head'];
const HEADER = safetensorsHeader(
  NAMES.map((name, i) => ({ name, dtype: 'I8', offsets: [i * BLOCK, (i + 1) * BLOCK] as [number, number] })),
);
const MODEL = Buffer.concat([HEADER, noise(BLOCK * NAMES.length, 1)]);

/** A store that `fill` filled and closed, with these objects damaged, and what `verify` says of it. */
async function damageFound(fill: (volume: Volume, store: Store) => Promise<string[]>): Promise<Damage[]> {
  const dir = join(tempDir(), 'store');
  const objects = await withStore(dir, async (store) => fill(await store.volumes.fromName('v', { createIfMissing: true }), store));
  for (const object of objects) damageObject(dir, object);
  return withStore(
    dir,
    async (store) => (await store.verify({ readData: true })).damage,
    (at) => openStore(at, { workers: 1 }),
  );
}

async function chunkAt(volume: Volume, path: string, offset: number): Promise<string> {
  const chunks = await collect(volume.chunks(path));
  return chunks.find((chunk) => offset >= chunk.offset && offset < chunk.offset + chunk.length)!.digest;
}

describe('verify', () => {
  test('names the tensors that a damaged chunk holds bytes of, in every version and under every path that has it', async () => {
    const damage = await damageFound(async (volume) => {
      await volume.writeFile('model.safetensors', MODEL);
      await volume.writeFile('model.bin', MODEL.subarray(HEADER.length));
      await volume.commit();
      await volume.copy('model.safetensors', 'again/model.safetensors');
      await volume.commit();
      return [await chunkAt(volume, 'model.safetensors', HEADER.length + 2 * BLOCK + 5)];
    });
    expect(damage.map(({ kind }) => kind)).toEqual(['chunk']);
    const named = damage[0]!.affects.map(({ path, tensor }) => `${path} ${tensor}`).sort();
    expect(named).toEqual(['again/model.safetensors layers.1', 'model.safetensors layers.1', 'model.safetensors layers.1']);
    expect(new Set(damage[0]!.affects.map(({ snapshot }) => snapshot)).size).toBe(2);
  });

  test('names no tensor for bytes of none, for a header that is lost, and for a file without one; those of GGUF by their names', async () => {
    const gguf = ggufHeader({ tensors: NAMES.map((name, i) => ({ name, shape: [BLOCK], type: 24, offset: i * BLOCK })) });
    const damage = await damageFound(async (volume) => {
      await volume.writeFile('a.safetensors', Buffer.concat([MODEL, noise(9000, 2)]));
      await volume.writeFile('b.safetensors', Buffer.concat([HEADER, noise(BLOCK * 4, 3)]));
      await volume.writeFile('c.bin', noise(50_000, 4));
      await volume.writeFile('d.gguf', Buffer.concat([gguf, noise(BLOCK * 4, 5)]));
      await volume.commit();
      return [
        await chunkAt(volume, 'a.safetensors', MODEL.length),
        await chunkAt(volume, 'b.safetensors', 0),
        await chunkAt(volume, 'b.safetensors', HEADER.length + BLOCK),
        await chunkAt(volume, 'c.bin', 0),
        await chunkAt(volume, 'd.gguf', gguf.length + 3 * BLOCK),
      ];
    });
    const named = damage.flatMap(({ affects }) => affects.map(({ path, tensor }) => `${path} ${tensor ?? '-'}`)).sort();
    // The header of both safetensors is one chunk: with it, none of their tensors has a name.
    expect(named).toEqual(['a.safetensors -', 'a.safetensors -', 'b.safetensors -', 'b.safetensors -', 'c.bin -', 'd.gguf head']);
  });

  test('goes on behind a damaged node of a manifest: other paths that damage touches are named beside it', async () => {
    const damage = await damageFound(async (volume, store) => {
      for (let i = 0; i < 700; i++) await volume.writeFile(`f/${String(i).padStart(4, '0')}`, `text ${i}`);
      await volume.writeFile('a', noise(5000, 1));
      await volume.writeFile('z/last', noise(5000, 2));
      await volume.commit();
      return [await chunkAt(volume, 'a', 0), await chunkAt(volume, 'z/last', 0), middleLeaf(store.info().dir)];
    });
    const named = (kind: Damage['kind']): string[] =>
      damage.flatMap((one) => (one.kind === kind ? one.affects.map(({ path }) => path) : []));
    expect(named('chunk').sort()).toEqual(['a', 'z/last']);
    expect(named('node')).toEqual(['']);
  });
});

/** A leaf of the manifest that holds paths in the middle, by its bytes in the packs. */
function middleLeaf(dir: string): string {
  for (const name of readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.pack')) continue;
    const bytes = readFileSync(join(dir, 'packs', name));
    const end = bytes.length - 80;
    for (let row = Number(bytes.readBigUInt64LE(end + 16)); row < end; row += 56) {
      const offset = Number(bytes.readBigUInt64LE(row + 32));
      const isLeaf = bytes[row + 48] === 2 && bytes[row + 49] === 0 && bytes[offset + 1] === 0;
      const text = bytes.toString('latin1', offset, offset + bytes.readUInt32LE(row + 40));
      if (isLeaf && !text.includes('\0a\0') && !text.includes('last') && text.includes('f\0')) return bytes.toString('hex', row, row + 32);
    }
  }
  throw new Error('no such leaf');
}
