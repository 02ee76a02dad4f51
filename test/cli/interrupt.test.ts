import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildProcess } from 'node:child_process';
import { beforeEach, describe, expect, test } from 'vitest';
import { finished, noise, useWorkplace, type Result } from './support/cairn.js';

const place = useWorkplace();
const MIB = 1 << 20;

beforeEach(async () => {
  await place.at.seed('v');
});

async function writeBig(path: string, mebibytes: number): Promise<string> {
  const block = noise('big', MIB);
  const hash = createHash('sha256');
  const file = createWriteStream(path);
  for (let i = 0; i < mebibytes; i++) {
    block.writeUInt32LE(i, 0);
    for (let at = 4096; at < MIB; at += 4096) block.writeUInt32LE(i * 7919 + at, at);
    hash.update(block);
    if (!file.write(Buffer.from(block))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
  return hash.digest('hex');
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Interrupts once the command is storing: when something is on its way into the store. */
async function interrupt(child: ChildProcess, signal: NodeJS.Signals): Promise<Result> {
  const result = finished(child);
  const known = new Set(files());
  while (child.exitCode === null && !files().some((file) => !known.has(file))) await sleep(5);
  await sleep(30);
  child.kill(signal);
  return result;
}

function files(): string[] {
  return readdirSync(place.at.store, { recursive: true, encoding: 'utf8' });
}

describe('an interrupted put', () => {
  test.each([
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'terminated'],
  ] as const)('by %s exits with %i, leaves nothing visible, and a rerun works', async (signal, code, word) => {
    const { at } = place;
    const digest = await writeBig(at.path('big'), 512);
    const result = await interrupt(at.start(['put', 'v', 'big']), signal);
    expect(result, result.stderr).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(new RegExp(`^cairn: ${word}\n {2}hint: `));
    expect(await at.tree('v')).toEqual([]);
    expect(await at.ids('v')).toEqual([]);

    await at.ok('put', 'v', 'big');
    await at.ok('get', 'v', 'big', 'back');
    expect(await sha256(at.path('back'))).toBe(digest);
  });

  test('from standard input that never ends stops, too', async () => {
    const { at } = place;
    const child = at.start(['put', 'v', '-', '/endless']);
    child.stdin?.on('error', () => {});
    child.stdin?.write(noise('endless', 4 * MIB));
    const result = finished(child);
    await sleep(1500);
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 130 });
    expect(await at.tree('v')).toEqual([]);
  });

  test('ends at once at the second signal', async () => {
    const { at } = place;
    const child = at.start(['put', 'v', '-', '/endless']);
    child.stdin?.on('error', () => {});
    child.stdin?.write(noise('endless', MIB));
    const result = finished(child);
    await sleep(1000);
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 130 });
    expect(await at.tree('v')).toEqual([]);
  });
});
