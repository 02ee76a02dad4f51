import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import { BIN, noise, useWorkplace } from './support/cairn.js';

const place = useWorkplace('shared');

beforeAll(async () => {
  const { at } = place;
  await at.seed('v');
  mkdirSync(at.path('dir'));
  writeFileSync(at.path('f'), noise('f', 400_000));
  writeFileSync(at.path('dir', 'g'), 'g');
  await at.ok('put', 'v', '-t', '/', 'f', 'dir');
});

describe('exit codes tell what went wrong, and the message what to do', () => {
  test.each([
    [2, 'CAIRN_INVALID_NAME', ['volume', 'create', 'no spaces']],
    [2, 'CAIRN_INVALID_NAME', ['tag', 'v', 'HEAD']],
    [2, 'CAIRN_INVALID_PATH', ['put', 'v', 'f', '/../f']],
    [2, 'EISDIR', ['cat', 'v', 'dir']],
    [2, 'EISDIR', ['get', 'v', 'dir', '-']],
    [2, 'CAIRN_INVALID_ARGUMENT', ['ls', 'v@']],
    [3, 'CAIRN_VOLUME_NOT_FOUND', ['ls', 'w']],
    [3, 'CAIRN_VOLUME_NOT_FOUND', ['put', 'w', 'f']],
    [3, 'CAIRN_VOLUME_NOT_FOUND', ['volume', 'delete', 'w', '-y']],
    [3, 'CAIRN_SNAPSHOT_NOT_FOUND', ['ls', 'v@nothing']],
    [3, 'CAIRN_SNAPSHOT_NOT_FOUND', ['rollback', 'v@HEAD~9']],
    [3, 'ENOENT', ['cat', 'v', 'nothing']],
    [3, 'ENOENT', ['ls', 'v', 'nothing']],
    [3, 'ENOENT', ['rm', 'v', 'nothing']],
    [3, 'ENOENT', ['mv', 'v', 'nothing', 'x']],
    [3, 'ENOENT', ['put', 'v', 'no such local file']],
    [3, 'CAIRN_STORE_NOT_FOUND', ['ls', 'v', '--store', 'nowhere']],
    [4, 'CAIRN_VOLUME_EXISTS', ['volume', 'create', 'v']],
    [4, 'EEXIST', ['put', 'v', 'dir/g', '/f']],
    [4, 'EEXIST', ['get', 'v', 'f']],
    [3, 'CAIRN_STORE_NOT_FOUND', ['ls', 'v', '--store', 'dir']],
    [7, 'CAIRN_NOT_A_STORE', ['volume', 'create', 'v', '--store', 'dir']],
  ])('%i, %s: cairn %j', async (exitCode, code, args) => {
    const result = await place.at.run([...args, '--json']);
    expect(result).toMatchObject({ code: exitCode, stdout: '' });
    const { error } = JSON.parse(result.stderr) as { error: { message: string; hint: string } };
    expect(error).toMatchObject({
      code,
      exitCode,
      message: expect.stringMatching(/./) as string,
      hint: expect.stringMatching(/./) as string,
    });
  });

  test('none of these changed anything', async () => {
    const { at } = place;
    expect(await at.tree('v')).toEqual(['dir', 'dir/g', 'f']);
    expect(await at.ids('v')).toHaveLength(1);
  });

  test('in text, the message and the hint are two lines', async () => {
    const result = await place.at.run(['ls', 'w']);
    expect(result.stderr).toMatch(/^cairn: no volume named 'w'\n {2}hint: .*cairn volume create w.*\n$/);
  });

  test.skipIf(!existsSync('/dev/full'))('8: output that does not fit on its disk is an error, not a short file', () => {
    const full = openSync('/dev/full', 'w');
    try {
      const env = { ...process.env, CAIRN_STORE: place.at.store };
      const result = spawnSync(process.execPath, [BIN, 'cat', 'v', 'f'], { env, stdio: ['ignore', full, 'pipe'] });
      expect(result.status).toBe(8);
      expect(result.stderr.toString()).toMatch(/^cairn: ENOSPC/);
    } finally {
      closeSync(full);
    }
  });

  // Last, since it damages the store.
  test('6: damage is found by verify and never handed out', async () => {
    const { at } = place;
    expect((await at.ok('verify', '--read-data')).stdout).toMatch(/^\d+ packs?, \d+ chunks?, .*: no damage\n$/);
    expect(await at.json('verify')).toMatchObject({ ok: true, damage: [] });
    flipPayloadByte(at.store);
    const found = await at.run(['verify', '--read-data']);
    expect(found.code).toBe(6);
    expect(found.stdout).toMatch(/^damaged chunk [0-9a-f]{64}\n {2}v@[0-9a-f]{12}:\/f\n/);
    const document = await at.run(['verify', '--read-data', '--json']);
    expect(document.code).toBe(6);
    expect(JSON.parse(document.stdout)).toMatchObject({ ok: false, damage: [{ kind: 'chunk', affects: [{ volume: 'v', path: 'f' }] }] });
    const read = await at.run(['get', 'v', 'f', 'damaged']);
    expect(read.code).toBe(6);
    expect(existsSync(at.path('damaged'))).toBe(false);
  });

  test('6: what repair cannot bring back is said; with a good copy it is 0', async () => {
    const { at } = place;
    const dry = await at.run(['repair', '--dry-run']);
    expect(dry).toMatchObject({ code: 6, stdout: expect.stringMatching(/^would set aside quarantine\/\w+\.pack$/m) as string });
    const alone = await at.run(['repair']);
    expect(alone).toMatchObject({ code: 6, stdout: expect.stringMatching(/v@[0-9a-f]{12}:\/f\n/) as string });
    writeFileSync(at.path('copy'), noise('f', 400_000));
    expect((await at.ok('repair', '--from', at.path('copy'))).stdout).toMatch(/1 object brought back, .*: the store is whole\n$/);
    expect(await at.json('repair')).toMatchObject({ ok: true, damage: [], healed: 0 });
    expect((await at.ok('get', 'v', 'f', 'whole')).code).toBe(0);
  });
});

/** Changes one byte of the stored bytes of `f` in whatever pack holds them. */
function flipPayloadByte(store: string): void {
  const needle = noise('f', 400_000).subarray(1000, 1064);
  for (const entry of readdirSync(store, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.pack')) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    const at = bytes.indexOf(needle);
    if (at < 0) continue;
    bytes[at] = bytes[at]! ^ 1;
    return writeFileSync(path, bytes);
  }
  throw new Error('no pack holds the payload');
}
