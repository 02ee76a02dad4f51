import { openStore } from '@cairn/core';
import fs from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { main } from '../../packages/gpu-runner/src/command/main.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { cairnGpu } from './daemon.js';
import { commit } from './support.js';

/** Runs the command in this process: what it says on stderr, and its exit code. */
async function run(...words: string[]): Promise<{ code: number; stderr: string }> {
  let stderr = '';
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true));
  try {
    return { code: await main(words), stderr };
  } finally {
    write.mockRestore();
  }
}

describe('cairn-gpu', () => {
  it('answers a command line that means nothing with words and exit code 2, and starts nothing', async () => {
    const socket = join(tempDir(), 'nobody.sock');
    for (const [words, said] of [
      [['run', 'm:/a', '-n', '0', '--', 'true'], 'from 1 to 1000'],
      [['run', 'm:/a', '-n', 'x', '--', 'true'], 'from 1 to 1000'],
      [['run', 'm:/a', '--restart', 'sometimes', '--', 'true'], 'Allowed choices are always, on-failure, never'],
      [['run', 'm:/a', '--grace', '-1', '--', 'true'], 'a number of seconds'],
      [['run', 'm:/a'], "missing required argument 'command'"],
      [['serve', '--metrics-port', '99999'], 'from 0 to 65535'],
      [['serve', '--budget', 'much'], 'a number of bytes'],
      [['load', '@x', '--socket', socket], "no place: '@x'"],
      [['fly'], 'unknown command'],
    ] as [string[], string][]) {
      const { code, stderr } = await run(...words);
      expect([words, code, stderr]).toEqual([words, 2, expect.stringContaining(said)]);
    }
  });

  it('does not trust a socket in a folder that others can write to', async () => {
    const folder = tempDir();
    for (const [name, value] of [
      ['TMPDIR', folder],
      ['XDG_RUNTIME_DIR', ''],
      ['CAIRN_GPU_SOCKET', ''],
    ] as const)
      vi.stubEnv(name, value);
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await run('list')).toMatchObject({ code: 1, stderr: expect.stringContaining('no daemon at') });
    const own = join(folder, `cairn-gpu-${process.getuid!()}`);
    fs.mkdirSync(own);
    fs.chmodSync(own, 0o777);
    expect(await run('list')).toMatchObject({ code: 7, stderr: expect.stringContaining('others can write to') });
    fs.chmodSync(own, 0o700);
    expect(await run('list')).toMatchObject({ code: 1, stderr: expect.stringContaining('no daemon at') });
  });
});

describe('cairn-gpu serve', () => {
  it('that cannot serve says why, and ends', async () => {
    const dir = tempDir();
    const store = join(dir, 'store');
    await withStore(store, async (opened) => void (await commit(opened, 'models', { 'a.bin': noise(10, 1) })));
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const socket = join(dir, 'gpu.sock');
    fs.writeFileSync(join(dir, 'file'), 'precious');
    for (const [words, code, said] of [
      [['--socket', socket, '--metrics-port', String(port)], 2, 'EADDRINUSE'],
      [['--socket', join(dir, 'x'.repeat(100), 'x'.repeat(100))], 2, 'too long for a socket'],
      [['--socket', join(dir, 'file')], 2, 'cannot listen on'],
      [['--socket', dir], 2, 'cannot listen on'],
      [['--socket', join(dir, 'file', 'gpu.sock')], 2, 'cannot make the folder'],
    ] as [string[], number, string][])
      expect(await run('serve', '--store', store, ...words)).toEqual({ code, stderr: expect.stringContaining(said) });
    expect(fs.readFileSync(join(dir, 'file'), 'utf8')).toBe('precious');
    // As a process, which has to end by itself.
    const missing = await cairnGpu(['serve', '--store', store, '--socket', socket, '--metrics-port', '0', '--preload', 'models:/no.bin'])
      .ended;
    expect(missing).toMatchObject({ code: 3, stderr: expect.stringMatching(/no model models@HEAD:\/no\.bin: .*'no\.bin'/) });
    await (await openStore(store, { create: false })).close();
  });
});
