import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { isCairnError, openStore, openTemporaryStore, repairStore, type Store } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { encodeContentNode } from '../../packages/core/src/content/node.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { codeOf, failureOf } from '../support/failures.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { fileAt, ForgedStore, keyOf } from './forged-store.js';

const CHUNK = Buffer.from('0123456789abcdef');
const HUGE_BYTES = CHUNK.length * 2 ** 48;
const MANY_BYTES = 150_000;
/** Larger than what is read by the main thread. */
const PLAIN = noise((1 << 20) + 5, 1);

/** A store with a file of four pebibytes that is one small chunk again and again, and one of very many chunks of a byte. */
async function storeOfRuns(): Promise<Store> {
  const dir = join(tempDir(), 'store');
  const forged = new ForgedStore();
  const run = (chunk: Buffer, repeats: number) => {
    const entry = { digest: forged.object(ObjectKind.chunk, chunk), length: chunk.length, repeats };
    return { height: 1, root: forged.object(ObjectKind.contentNode, encodeContentNode(1, [entry])), length: chunk.length * repeats };
  };
  const huge = run(CHUNK, 2 ** 48);
  const many = run(Buffer.from('z'), MANY_BYTES);
  const plain = { height: 0, root: forged.object(ObjectKind.chunk, PLAIN), length: PLAIN.length };
  forged.volume('v', [forged.node(0, [fileAt(keyOf('huge'), huge)])]);
  forged.volume('w', [forged.node(0, [fileAt(keyOf('many'), many), fileAt(keyOf('plain'), plain)])]);
  await forged.write(dir);
  await repairStore(dir);
  const store = await openStore(dir, { workers: 1 });
  onTestFinished(() => store.close());
  return store;
}

describe('a file that is one chunk again and again', () => {
  test('costs what is read of it, whatever its size; nobody walks through all of it', async () => {
    const store = await storeOfRuns();
    const volume = await store.volumes.fromName('v');
    expect(await volume.stat('huge')).toMatchObject({ size: HUGE_BYTES });
    const target = new Uint8Array(20);
    await volume.readInto({ path: 'huge', position: HUGE_BYTES - 20, target });
    expect(Buffer.from(target).toString()).toBe('cdef0123456789abcdef');
    for await (const part of volume.createReadStream('huge', { start: 5, end: 30 }))
      expect(Buffer.from(part as Uint8Array).toString()).toBe('56789abcdef0123456789abcde');
    let chunks = 0;
    for await (const { length } of volume.chunks('huge')) if ((chunks += length) > 1000) break;
    expect(codeOf(await failureOf(volume.readFile('huge')))).toBe('CAIRN_FILE_TOO_LARGE');
    expect(codeOf(await failureOf(volume.tensors('huge')))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
    expect((await store.usage()).logical).toBe(HUGE_BYTES + MANY_BYTES + PLAIN.length);
  });

  test('is copied out whole, in memory that does not grow with its chunks', async () => {
    const store = await storeOfRuns();
    const volume = await store.volumes.fromName('w');
    const local = join(tempDir(), 'copy');
    await volume.copyToLocal('/', local);
    const bytes = fs.readFileSync(join(local, 'many'));
    expect(bytes.length).toBe(MANY_BYTES);
    expect(bytes.every((byte) => byte === 0x7a)).toBe(true);
    expect(Buffer.compare(fs.readFileSync(join(local, 'plain')), PLAIN)).toBe(0);
  });
});

describe('something else in the place of a file of the store', () => {
  const swaps: [string, (path: string) => void][] = [
    ['a folder', (path) => fs.mkdirSync(path)],
    ['a pipe', (path) => void execFileSync('mkfifo', [path])],
    ['a link to nowhere', (path) => fs.symlinkSync('nowhere', path)],
    ['a link to itself', (path) => fs.symlinkSync(path, path)],
    ['a device', (path) => fs.symlinkSync('/dev/zero', path)],
  ];
  const places = ['format', 'refs/0000000000000001', 'pack'];
  test.runIf(process.platform === 'linux').each(places.flatMap((place) => swaps.map(([what, swap]) => ({ place, what, swap }))))(
    '$what as $place: a typed error or none, and nobody waits for ever',
    async ({ place, swap }) => {
      const dir = join(tempDir(), 'store');
      const store = await openStore(dir, { workers: 1 });
      const volume = await store.volumes.fromName('v', { createIfMissing: true });
      await volume.writeFile('a', noise(5000, 1));
      await volume.commit();
      await store.close();
      const packs = fs.readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
      const path = join(dir, place === 'pack' ? join('packs', packs[0]!) : place);
      fs.rmSync(path);
      swap(path);
      const use = async (): Promise<void> => {
        const again = await openStore(dir, { workers: 1 });
        try {
          const { ok } = await again.verify({ readData: true });
          expect(ok).toBe(false);
          await (await again.volumes.fromName('v')).readFile('a');
        } finally {
          await again.close();
        }
      };
      for (const call of [use, () => repairStore(dir, { dryRun: true }), () => repairStore(dir)]) {
        const error = await failureOf(call());
        if (error !== undefined && !isCairnError(error)) throw new Error('not typed', { cause: error });
      }
    },
  );
});

test('files of a store are for their owner alone, 0600, and folders 0700, whatever the umask', async () => {
  const before = process.umask(0);
  try {
    const store = await openTemporaryStore({ workers: 1 });
    onTestFinished(() => store.close());
    const { dir } = store.info();
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('large', noise(5 << 20, 1));
    await volume.commit();
    const mounted = join(tempDir(), 'folder');
    const mount = await volume.mount(mounted);
    fs.writeFileSync(join(mounted, 'new'), 'x');
    await mount.commit();
    const wrong: string[] = [];
    for (const entry of fs.readdirSync(dir, { recursive: true, withFileTypes: true })) {
      const { mode } = fs.lstatSync(join(entry.parentPath, entry.name));
      const wanted = entry.isDirectory() ? 0o700 : 0o600;
      if ((mode & 0o7777) !== wanted && !entry.isSocket())
        wrong.push(`${join(entry.parentPath, entry.name)} ${(mode & 0o7777).toString(8)}`);
    }
    await mount.close();
    expect(wrong).toEqual([]);
  } finally {
    process.umask(before);
  }
});
