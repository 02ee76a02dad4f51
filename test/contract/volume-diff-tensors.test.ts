import { openStore, type Change, type TensorChange } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ggufHeader, safetensorsHeader } from '../chunking/samples.js';
import { damageObject } from '../support/damage-object.js';
import { tempDir } from '../support/temp-dir.js';
import { collect, newVolume, noise, volumeV } from './support.js';

const BLOCK = 1 << 20;

/** A tensor as the tests think of it: its bytes come from a seed, and some of its blocks from others. */
interface Sample {
  name: string;
  dtype: 'U8' | 'I8';
  size: number;
  seed: number;
  edits: { at: number; seed: number }[];
}

function bytesOf({ size, seed, edits }: Sample): Buffer {
  const bytes = Buffer.from(noise(size, seed));
  for (const edit of edits) if (edit.at < size) bytes[edit.at]! ^= 1 + edit.seed;
  return bytes;
}

function modelOf(tensors: Sample[], metadata?: Record<string, string>): Buffer {
  let end = 0;
  const places = tensors.map(({ name, dtype, size }) => ({ name, dtype, offsets: [end, (end += size)] as [number, number] }));
  return Buffer.concat([safetensorsHeader(places, metadata), ...tensors.map(bytesOf)]);
}

function blocksOf(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / BLOCK) }, (_, i) => bytes.subarray(i * BLOCK, (i + 1) * BLOCK));
}

/** What a comparison of the bytes says. */
function expected(before: Sample[], after: Sample[]): TensorChange[] {
  const total = (blocks: Buffer[]): number => blocks.reduce((sum, { length }) => sum + length, 0);
  const alone = (type: 'added' | 'removed', sample: Sample): TensorChange => {
    const blocks = blocksOf(bytesOf(sample));
    return { name: sample.name, type, changedBlocks: blocks.length, blocks: blocks.length, changedBytes: total(blocks) };
  };
  const now = after.flatMap((sample): TensorChange[] => {
    const old = before.find(({ name }) => name === sample.name);
    if (old === undefined) return [alone('added', sample)];
    const [a, b] = [blocksOf(bytesOf(old)), blocksOf(bytesOf(sample))];
    const changed = b.filter((block, i) => a[i] === undefined || !block.equals(a[i]));
    if (changed.length === 0 && old.size === sample.size && old.dtype === sample.dtype) return [];
    return [{ name: sample.name, type: 'modified', changedBlocks: changed.length, blocks: b.length, changedBytes: total(changed) }];
  });
  return [...now, ...before.filter(({ name }) => !after.some((sample) => sample.name === name)).map((sample) => alone('removed', sample))];
}

const sample = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  dtype: fc.constantFrom('U8' as const, 'I8' as const),
  size: fc.constantFrom(0, 1, 5000, BLOCK, BLOCK + 1, 3 * BLOCK - 7),
  seed: fc.nat(1),
  edits: fc.array(fc.record({ at: fc.nat(3 * BLOCK), seed: fc.nat(1) }), { maxLength: 2 }),
});
const samples = fc.uniqueArray(sample, { minLength: 1, maxLength: 4, selector: ({ name }) => name });
const byName = (changes: TensorChange[] | undefined): TensorChange[] => [...changes!].sort((a, b) => (a.name < b.name ? -1 : 1));

describe('a diff with tensors', () => {
  test('says of two versions of weights what a comparison of their bytes, block by block, says', async () => {
    await fc.assert(
      fc.asyncProperty(samples, samples, async (before, after) => {
        const volume = await newVolume();
        await volume.writeFile('model', modelOf(before));
        await volume.commit();
        await volume.writeFile('model', modelOf(after, { step: '2' }));
        await volume.commit();
        const [change] = await collect(volume.diff('HEAD~1', 'HEAD', { tensors: true }));
        expect(byName(change!.tensors)).toEqual(byName(expected(before, after)));
        const [plain] = await collect(volume.diff('HEAD~1'));
        expect(plain).toEqual({ ...change, tensors: undefined });
      }),
      { numRuns: 25 },
    );
  });

  test('names tensors of files that came and went, of GGUF too, and none of other files or of a mode alone', async () => {
    const volume = await newVolume();
    const weights = modelOf([{ name: 'w', dtype: 'U8', size: BLOCK + 5, seed: 1, edits: [] }]);
    const gguf = Buffer.concat([ggufHeader({ tensors: [{ name: 'g', shape: [1024, 3], type: 0, offset: 0 }] }), noise(12_288, 2)]);
    await volume.writeFile('gone', weights);
    await volume.writeFile('mode', weights);
    await volume.writeFile('text', 'a');
    await volume.writeFile('turned', weights);
    await volume.commit();
    await volume.remove('gone');
    await volume.writeFile('come', gguf);
    await volume.writeFile('mode', weights, { executable: true });
    await volume.writeFile('text', 'b');
    await volume.writeFile('turned', 'no weights any more');
    await volume.symlink('text', 'link');
    await volume.commit();
    const changes = new Map((await collect(volume.diff('HEAD~1', 'HEAD', { tensors: true }))).map((change) => [change.path, change]));
    const all = (name: string, type: string, blocks: number, changedBytes: number): unknown => [
      { name, type, changedBlocks: blocks, blocks, changedBytes },
    ];
    expect(changes.get('gone')!.tensors).toEqual(all('w', 'removed', 2, BLOCK + 5));
    expect(changes.get('turned')!.tensors).toEqual(all('w', 'removed', 2, BLOCK + 5));
    expect(changes.get('come')!.tensors).toEqual(all('g', 'added', 1, 12_288));
    for (const path of ['mode', 'text', 'link']) expect(changes.get(path)).not.toHaveProperty('tensors');
  });

  test('reads headers and trees, and nothing of the tensors themselves', async () => {
    const dir = tempDir();
    const store = await openStore(dir, { workers: 1 });
    const volume = await volumeV(store);
    const tensors: Sample[] = ['a', 'b'].map((name, seed) => ({ name, dtype: 'U8', size: 2 * BLOCK, seed, edits: [] }));
    await volume.writeFile('model', modelOf(tensors));
    await volume.commit();
    tensors[1]!.edits = [{ at: BLOCK + 9, seed: 1 }];
    await volume.writeFile('model', modelOf(tensors));
    await volume.commit();
    const data = new Set<string>();
    for (const ref of ['HEAD~1', 'HEAD'])
      for await (const { length, digest } of (await volume.snapshot(ref)).chunks('model')) if (length === BLOCK) data.add(digest);
    expect(data.size).toBe(5);
    await store.close();
    for (const digest of data) damageObject(dir, digest);
    const again = await openStore(dir, { workers: 1 });
    onTestFinished(() => again.close());
    const changes: Change[] = await collect((await volumeV(again)).diff('HEAD~1', 'HEAD', { tensors: true }));
    expect(changes[0]!.tensors).toEqual([{ name: 'b', type: 'modified', changedBlocks: 1, blocks: 2, changedBytes: BLOCK }]);
  });
});
