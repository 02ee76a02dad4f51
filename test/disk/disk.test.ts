import fs from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Disk } from '../../packages/core/src/disk/disk.js';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { makeFolders, makeTemporaryFolder, removeTree } from '../../packages/core/src/disk/trees.js';
import { isCairnError } from '../../packages/core/src/errors.js';
import { failureOf } from '../support/failures.js';
import { KINDS, type FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { pageMemory } from '../support/page-memory.js';
import { tempDir } from '../support/temp-dir.js';

const FAULTY = new URL('../support/faulty-disk.mjs', import.meta.url).href;
const PAGE = 4096;

function faulty(options: FaultyDiskOptions): Promise<Disk> {
  return openDisk({ durable: true, module: FAULTY, options });
}

function pages(count: number, value = 7): Uint8Array {
  return pageMemory(count * PAGE).fill(value);
}

function errno(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

afterEach(() => vi.restoreAllMocks());

describe('the disk of this machine', () => {
  it('makes files 0600 and folders 0700, and never takes a file that is there', async () => {
    const disk = await openDisk({ durable: true });
    const dir = join(tempDir(), 'a', 'b');
    disk.mkdir(dir);
    disk.mkdir(dir);
    const file = disk.create(join(dir, 'f'));
    file.closeSync();
    expect(fs.statSync(join(dir, '..')).mode & 0o777).toBe(0o700);
    expect(fs.statSync(file.path).mode & 0o777).toBe(0o600);
    expect(() => disk.create(file.path)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    disk.link(file.path, join(dir, 'g'));
    expect(() => disk.link(file.path, join(dir, 'g'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    disk.rename(file.path, join(dir, 'g2'));
    disk.unlink(join(dir, 'g'));
    disk.syncDirectory(dir);
    expect(fs.readdirSync(dir)).toEqual(['g2']);
  });

  it('syncs the parent of every folder that it made, and of none that was there', async () => {
    const disk = await openDisk({ durable: true });
    const dir = tempDir();
    const opened: string[] = [];
    const open = fs.openSync;
    vi.spyOn(fs, 'openSync').mockImplementation((path, ...rest) => (opened.push(String(path)), open(path, ...rest)));
    disk.mkdir(join(dir, 'a', 'b', 'c'));
    expect(new Set(opened)).toEqual(new Set([dir, join(dir, 'a'), join(dir, 'a', 'b')]));
    opened.length = 0;
    disk.mkdir(join(dir, 'a', 'b', 'c'));
    expect(opened).toEqual([]);
  });

  it('a store that need not survive a power cut is never synced', async () => {
    const disk = await openDisk({ durable: false });
    const sync = vi.spyOn(fs, 'fsyncSync');
    const data = vi.spyOn(fs, 'fdatasyncSync');
    const dir = join(tempDir(), 'x');
    disk.mkdir(dir);
    const file = disk.create(join(dir, 'f'));
    file.writeSync(Buffer.from('x'), 0);
    file.syncSync();
    file.closeSync();
    disk.syncDirectory(dir);
    expect(sync).not.toHaveBeenCalled();
    expect(data).not.toHaveBeenCalled();
  });

  it('writes and syncs on the thread and off it', async () => {
    const disk = await openDisk({ durable: true });
    const file = disk.create(join(tempDir(), 'f'));
    await file.write(pages(2, 1), 0);
    const synced = file.sync();
    file.writeSync(Buffer.alloc(10, 2), 2 * PAGE);
    await synced;
    file.syncSync();
    file.closeSync();
    file.closeSync();
    expect(fs.readFileSync(file.path)).toEqual(Buffer.concat([Buffer.alloc(2 * PAGE, 1), Buffer.alloc(10, 2)]));
    expect(() => file.writeSync(pages(1), 0)).toThrow('is closed');
    await expect(file.sync()).rejects.toThrow('is closed');
  });

  it('completes short writes', async () => {
    const disk = await openDisk({ durable: true });
    const write = fs.writeSync as (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => number;
    const short = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number =>
      write(fd, bytes, offset, Math.min(length, 7), position);
    vi.spyOn(fs, 'writeSync').mockImplementation(short as typeof fs.writeSync);
    const file = disk.create(join(tempDir(), 'f'));
    file.writeSync(Buffer.from('a sentence of some length'), 0);
    file.closeSync();
    expect(fs.readFileSync(file.path, 'utf8')).toBe('a sentence of some length');
  });

  it('a write that makes no progress is an error, not a loop', async () => {
    const disk = await openDisk({ durable: true });
    vi.spyOn(fs, 'writeSync').mockReturnValue(0);
    const file = disk.create(join(tempDir(), 'f'));
    expect(() => file.writeSync(Buffer.from('x'), 0)).toThrow(expect.objectContaining({ code: 'EIO' }));
    file.closeSync();
  });

  it.each(['EIO', 'ENOSPC', 'EDQUOT'])(
    'a file whose sync failed with %s is poisoned: nothing written to it is believed again',
    async (code) => {
      const disk = await openDisk({ durable: true });
      const file = disk.create(join(tempDir(), 'f'));
      vi.spyOn(fs, 'fdatasyncSync').mockImplementationOnce(() => {
        throw errno(code);
      });
      const first = caught(() => file.syncSync());
      expect(isCairnError(first, code === 'EIO' ? 'EIO' : 'ENOSPC')).toBe(true);
      expect(caught(() => file.syncSync())).toBe(first);
      expect(caught(() => file.writeSync(Buffer.from('x'), 0))).toBe(first);
      expect(caught(() => file.writeSync(pages(1), 0))).toBe(first);
      await expect(file.write(Buffer.from('x'), 0)).rejects.toBe(first);
      file.closeSync();
    },
  );

  it.runIf(fs.existsSync('/dev/full'))('a full disk fails the write off the thread with ENOSPC and poisons the file', async () => {
    const disk = await openDisk({ durable: true });
    const dir = tempDir();
    const open = fs.openSync;
    vi.spyOn(fs, 'openSync').mockImplementation(() => open('/dev/full', 'w'));
    const file = disk.create(join(dir, 'f'));
    await expect(file.write(Buffer.from('x'), 0)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(() => file.writeSync(Buffer.from('x'), 0)).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    file.closeSync();
  });

  it('files and folders of users get the modes that their umask leaves, and times', async () => {
    const disk = await openDisk({ durable: true });
    const dir = join(tempDir(), 'a', 'b');
    const umask = process.umask();
    makeFolders(disk, dir);
    makeFolders(disk, dir);
    const file = disk.create(join(dir, 'f'), 0o777);
    file.setTimeSync(1_600_000_000_123_456_789n);
    file.closeSync();
    const stat = fs.statSync(file.path, { bigint: true });
    expect(Number(stat.mode) & 0o777).toBe(0o777 & ~umask);
    expect(stat.mtimeNs / 1_000_000n).toBe(1_600_000_000_123n);
    expect(fs.statSync(join(dir, '..')).mode & 0o777).toBe(0o777 & ~umask);
    disk.chmod(file.path, 0o640);
    expect(fs.statSync(file.path).mode & 0o777).toBe(0o640);
    expect(() => makeFolders(disk, file.path)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(() => makeFolders(disk, join(file.path, 'x'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    expect(fs.statSync(makeTemporaryFolder(disk, join(dir, 't-'))).mode & 0o777).toBe(0o700);
  });

  it('a file that is there is written to further, by its name or a descriptor of another thread, and never through a symlink', async () => {
    const disk = await openDisk({ durable: true });
    const dir = tempDir();
    const file = disk.create(join(dir, 'f'));
    file.writeSync(Buffer.from('1.3.'), 0);
    const attached = disk.attach(file.path, file.fd);
    attached.writeSync(Buffer.from('2'), 1);
    attached.closeSync();
    file.writeSync(Buffer.from('4'), 3);
    file.closeSync();
    const again = disk.open(file.path);
    again.writeSync(Buffer.from('5'), 4);
    again.closeSync();
    expect(fs.readFileSync(file.path, 'utf8')).toBe('12345');
    disk.symlink(file.path, join(dir, 'link'));
    expect(() => disk.open(join(dir, 'link'))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => disk.create(join(dir, 'link'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  });

  it('a tree is removed with all that is in it, and not what its links lead to', async () => {
    const disk = await openDisk({ durable: true });
    const dir = tempDir();
    makeFolders(disk, join(dir, 'tree', 'a', 'b'));
    makeFolders(disk, join(dir, 'elsewhere'));
    for (const path of ['tree/f', 'tree/a/b/g', 'elsewhere/kept']) fs.writeFileSync(join(dir, path), 'x');
    disk.symlink(join(dir, 'elsewhere'), join(dir, 'tree', 'a', 'link'));
    disk.symlink(join(dir, 'nowhere'), join(dir, 'tree', 'dangling'));
    removeTree(disk, join(dir, 'tree'));
    removeTree(disk, join(dir, 'tree'));
    expect(fs.readdirSync(dir)).toEqual(['elsewhere']);
    expect(fs.readdirSync(join(dir, 'elsewhere'))).toEqual(['kept']);
  });

  it('what others wrote is synced also where nothing else is', async () => {
    const disk = await openDisk({ durable: false });
    const path = join(tempDir(), 'f');
    fs.writeFileSync(path, 'x');
    const fd = fs.openSync(path, 'r');
    await disk.syncSource(path, fd);
    fs.closeSync(fd);
    await expect(disk.syncSource(path, 1 << 20)).rejects.toMatchObject({ code: 'EBADF' });
  });

  it('errors say what was being done, to which path', async () => {
    const disk = await openDisk({ durable: true });
    const open = vi.spyOn(fs, 'openSync').mockImplementation(() => {
      throw errno('EMFILE');
    });
    const error = caught(() => disk.create('/some/file')) as Error;
    open.mockRestore();
    expect(isCairnError(error, 'EMFILE')).toBe(true);
    expect(error.message).toContain('/some/file');
  });
});

describe('the faulty disk of the tests', () => {
  /** Uses every kind of call once. */
  async function everyCall(disk: Disk, dir: string): Promise<void> {
    disk.mkdir(join(dir, 'sub'));
    const file = disk.create(join(dir, 'sub', 'f'));
    try {
      file.writeSync(Buffer.from('12345678'), 0);
      file.setTimeSync(0n);
      file.syncSync();
      await disk.syncSource(file.path, file.fd);
    } finally {
      file.closeSync();
    }
    fs.closeSync(disk.open(file.path).fd);
    disk.link(file.path, join(dir, 'sub', 'g'));
    disk.rename(file.path, join(dir, 'sub', 'h'));
    disk.syncDirectory(join(dir, 'sub'));
    disk.unlink(join(dir, 'sub', 'g'));
    disk.chmod(join(dir, 'sub', 'h'), 0o400);
    disk.symlink('h', join(dir, 'sub', 'i'));
    disk.makeFolder(join(dir, 'sub', 'j'));
    disk.removeFolder(join(dir, 'sub', 'j'));
  }

  it('fails exactly the N-th call, with the error that a real disk raises, until no fault fires', async () => {
    for (let failAt = 1; failAt <= KINDS.length; failAt++) {
      const disk = await faulty({ failAt, error: 'ENOSPC' });
      expect(isCairnError(await failureOf(everyCall(disk, tempDir())), 'ENOSPC')).toBe(true);
    }
    await everyCall(await faulty({ failAt: KINDS.length + 1, error: 'ENOSPC' }), tempDir());
  });

  it('counts only the kinds asked for, over all threads that share the counter', async () => {
    const counter = new SharedArrayBuffer(4);
    const options: FaultyDiskOptions = { failAt: 2, error: 'EIO', kinds: ['sync'], counter };
    await everyCall(await faulty(options), tempDir());
    const disk = await faulty(options);
    expect(isCairnError(await failureOf(everyCall(disk, tempDir())), 'EIO')).toBe(true);
    expect(new Int32Array(counter)[0]).toBe(2);
  });

  it('a short write leaves half of the bytes behind', async () => {
    const dir = tempDir();
    const disk = await faulty({ failAt: 1, error: 'short', kinds: ['write'] });
    expect(isCairnError(await failureOf(everyCall(disk, dir)), 'ENOSPC')).toBe(true);
    expect(fs.readFileSync(join(dir, 'sub', 'f'), 'utf8')).toBe('1234');
  });

  it('a kill ends the process before the call, and the count survives', async () => {
    const { spawnSync } = await import('node:child_process');
    const dir = tempDir();
    const counterFile = join(dir, 'count');
    const plain = join(dir, 'target');
    const script = `
      import faultyDisk from ${JSON.stringify(FAULTY)};
      import fs from 'node:fs';
      const inner = { unlink: (path) => fs.unlinkSync(path) };
      const disk = faultyDisk(inner, { failAt: 2, error: 'kill', counterFile: ${JSON.stringify(counterFile)} }, (error) => error);
      fs.writeFileSync(${JSON.stringify(plain)} + '1', '');
      fs.writeFileSync(${JSON.stringify(plain)} + '2', '');
      disk.unlink(${JSON.stringify(plain)} + '1');
      disk.unlink(${JSON.stringify(plain)} + '2');`;
    fs.writeFileSync(join(dir, 'run.mjs'), script);
    const result = spawnSync(process.execPath, [pathToFileURL(join(dir, 'run.mjs')).pathname]);
    expect(result.signal).toBe('SIGKILL');
    expect(fs.existsSync(`${plain}1`)).toBe(false);
    expect(fs.existsSync(`${plain}2`)).toBe(true);
    expect(fs.statSync(counterFile).size).toBe(2);
  });
});

function caught(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
