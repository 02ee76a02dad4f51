import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildContent } from '../../packages/core/dist/content/content.js';
import { ObjectKind } from '../../packages/core/dist/hash/object-kind.js';
import { tempDir } from '../support/temp-dir.js';
import { randomBytes, safetensors, sharedEngine, sourcesOf, storeAll } from '../ingest/support.js';

const MIB = 1 << 20;
const MTIME_NS = 1_600_000_000_123_000_000n;

describe('restoring', () => {
  const engineOf = sharedEngine();
  it('makes files of every size with their bytes, modes and times', async () => {
    const engine = engineOf();
    const bytes: Record<string, Uint8Array> = {
      large: safetensors([9 * MIB, 12 * MIB + 4], 1, 500),
      empty: new Uint8Array(0),
      zeros: new Uint8Array(2 * MIB + 5),
      ...Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`small-${i}`, randomBytes(i * 37, i)])),
    };
    const sources = sourcesOf(bytes);
    const contents = await storeAll(engine, sources);
    const dir = tempDir();
    const items = Object.keys(bytes).map((name, i) => ({
      path: join(dir, name),
      content: contents.get(sources[i]!.path)!,
      executable: i % 2 === 0,
      mtimeNs: MTIME_NS,
    }));
    const progress: number[] = [];
    await engine.data.restoreFiles(items, { nodes: engine.staging, onProgress: ({ files }) => progress.push(files) });
    for (const [name, wanted] of Object.entries(bytes)) expect(Buffer.compare(readFileSync(join(dir, name)), wanted), name).toBe(0);
    for (const { path, executable } of items) {
      const { mode, mtimeMs } = statSync(path);
      expect((mode & 0o100) !== 0).toBe(executable);
      expect(Math.round(mtimeMs)).toBe(Number(MTIME_NS / 1_000_000n));
    }
    expect(progress.at(-1)).toBe(items.length);
  });

  it('never replaces a file nor follows a link, and leaves no half of a file', async () => {
    const engine = engineOf();
    const sources = sourcesOf({ a: randomBytes(5000, 77), large: randomBytes(10 * MIB, 2) });
    const contents = await storeAll(engine, sources);
    const dir = tempDir();
    const item = (name: string, from: number) => ({
      path: join(dir, name),
      content: contents.get(sources[from]!.path)!,
      executable: false,
      mtimeNs: 0n,
    });
    writeFileSync(join(dir, 'there'), 'mine');
    symlinkSync(join(dir, 'elsewhere'), join(dir, 'link'));
    for (const [name, from] of [
      ['there', 0],
      ['link', 0],
      ['there', 1],
      ['link', 1],
    ] as const) {
      await expect(engine.data.restoreFiles([item(name, from)], { nodes: engine.staging })).rejects.toMatchObject({ code: 'EEXIST' });
    }
    await expect(engine.data.restoreFiles([item('no/folder', 0)], { nodes: engine.staging })).rejects.toMatchObject({ code: 'ENOENT' });
    expect(readFileSync(join(dir, 'there'), 'utf8')).toBe('mine');
    expect(existsSync(join(dir, 'elsewhere'))).toBe(false);

    const { pack, offset } = engine.index.locate(ObjectKind.chunk, contents.get(sources[0]!.path)!.root)!;
    const path = engine.layout.packPath(pack);
    const damagedBytes = readFileSync(path);
    damagedBytes[offset]! ^= 1;
    writeFileSync(path, damagedBytes);
    await expect(engine.data.restoreFiles([item('half', 0)], { nodes: engine.staging })).rejects.toMatchObject({ code: 'CAIRN_DAMAGED' });
    expect(existsSync(join(dir, 'half'))).toBe(false);
  });

  it('writes what is only staged as well, into small and large files', async () => {
    const engine = engineOf();
    const sources = sourcesOf({ large: randomBytes(10 * MIB, 2), small: randomBytes(3000, 3) });
    const [large, small] = [...(await storeAll(engine, sources)).values()];
    const staged = randomBytes(7000, 4);
    const chunk = { digest: engine.staging.put(ObjectKind.chunk, staged.slice()), length: staged.byteLength };
    const { chunksOf } = await import('../../packages/core/dist/content/content.js');
    const dir = tempDir();
    const items = [large!, small!].map((content, i) => ({
      path: join(dir, String(i)),
      content: buildContent(engine.staging, [chunk, ...chunksOf(engine.staging, content), chunk]),
      executable: false,
      mtimeNs: MTIME_NS,
    }));
    await engine.data.restoreFiles(items, { nodes: engine.staging });
    const expected = [randomBytes(10 * MIB, 2), randomBytes(3000, 3)].map((bytes) => Buffer.concat([staged, bytes, staged]));
    for (const [name, bytes] of [
      ['0', expected[0]],
      ['1', expected[1]],
    ] as const) {
      expect(Buffer.compare(readFileSync(join(dir, name)), bytes!), name).toBe(0);
    }
    expect(Math.round(statSync(join(dir, '1')).mtimeMs)).toBe(Number(MTIME_NS / 1_000_000n));
  });
});
