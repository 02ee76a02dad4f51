import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { tell } from '../support/tell.js';

const MIB = 1 << 20;
/** Size of the upload, and how often it is killed; a long run sets more. */
const TOTAL_MIB = Number(process.env['CAIRN_TEST_PUT_MIB'] ?? 300);
const KILLS = Number(process.env['CAIRN_TEST_PUT_KILLS'] ?? 3);

let source: string;
let sourceBytes = 0;

/** One large file, some of several megabytes, and many small ones; no two chunks are the same. */
beforeAll(() => {
  source = mkdtempSync(join(tmpdir(), 'cairn-test-source-'));
  const put = (path: string, length: number): void => {
    mkdirSync(join(source, path, '..'), { recursive: true });
    writeFileSync(join(source, path), noise(length, sourceBytes));
    sourceBytes += length;
  };
  put('large/weights.bin', Math.floor(0.4 * TOTAL_MIB) * MIB + 12_345);
  for (let i = 0; i < 400; i++) put(`small/${i % 7}/${i}`, i * 250);
  for (let i = 0; sourceBytes < TOTAL_MIB * MIB; i++) put(`shards/${i}.bin`, 4 * MIB + i * 1001);
});

afterAll(() => rmSync(source, { recursive: true, force: true }));

/** Nothing of an unfinished upload can be seen, and the store is whole. Returns the size of all packs. */
async function expectUntouched(dir: string): Promise<number> {
  return withStore(dir, async (store) => {
    const volume = await store.volumes.fromName('v');
    const messages: string[] = [];
    for await (const { message } of volume.history()) messages.push(message);
    expect(messages).toEqual(['before']);
    expect((await volume.listdir('', { recursive: true })).map(({ path }) => path)).toEqual(['old']);
    expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
    return (await store.usage()).stored;
  });
}

async function expectEqualsSource(dir: string): Promise<void> {
  await withStore(dir, async (store) => {
    const volume = await store.volumes.fromName('v');
    const stored = (await volume.listdir('models', { recursive: true }))
      .filter(({ type }) => type === 'file')
      .map(({ path }) => path.slice('models/'.length));
    const local = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(source, path)).isFile());
    expect(stored.sort()).toEqual(local.sort());
    for (const path of local)
      expect(Buffer.compare(await volume.readFile(`models/${path}`), readFileSync(join(source, path))), path).toBe(0);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
  });
  expect(readdirSync(join(dir, 'packs', 'incoming'))).toEqual([]);
}

async function storeWithOneFile(): Promise<string> {
  const dir = join(tempDir(), 'store');
  await withStore(dir, async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('old', 'old');
    await volume.commit({ message: 'before' });
  });
  return dir;
}

const upload = (dir: string): Child => Child.start('uploader.mjs', { dir, volume: 'v', source });

describe('an upload killed by SIGKILL', () => {
  test('leaves nothing visible whenever it is killed, and what it had sealed is not stored again', async () => {
    const random = randomFrom(testSeed('killed-put'));
    const dir = await storeWithOneFile();
    const atFirst = await expectUntouched(dir);
    let sealed = 0;
    let kills = 0;
    for (let i = 0; i < KILLS; i++) {
      const child = upload(dir);
      // Each a little later than the one before, until most is sealed.
      const share = (0.8 * (i + random(100) / 100)) / KILLS;
      await child.hears(({ say, bytes }) => say === 'stored' && (bytes as number) >= share * sourceBytes);
      await sleep(random(20));
      await child.kill();
      if (child.said.some(({ say }) => say === 'done')) break;
      kills++;
      const before = sealed;
      sealed = (await expectUntouched(dir)) - atFirst;
      expect(sealed).toBeGreaterThanOrEqual(before);
    }
    expect(kills).toBe(KILLS);

    const said = await upload(dir).succeeds();
    const { bytes } = said.find(({ say }) => say === 'done') as unknown as { bytes: { logical: number; new: number } };
    expect(bytes.logical).toBe(sourceBytes);
    expect(sealed).toBeGreaterThan(0.25 * sourceBytes);
    // Of what the packs hold a little is their own.
    expect(bytes.new).toBeLessThanOrEqual(sourceBytes - 0.99 * sealed);
    await expectEqualsSource(dir);
    tell('killed uploads', { kills });
    console.log(
      `${(sealed / MIB).toFixed(0)} of ${(sourceBytes / MIB).toFixed(0)} MiB survived them, ${(bytes.new / MIB).toFixed(0)} MiB were new at last`,
    );
  }, 300_000);
});
