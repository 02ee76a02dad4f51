import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '@cairn/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { tempDir } from '../support/temp-dir.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STEPS = 60;

/** `cairn run` with a trainer in it, as a person would start it: both in a process group of their own. */
function train(store: string, folder: string, ...command: string[]): ChildProcess {
  const child = spawn('cairn', ['--store', store, 'run', '--volume', `runs=${folder}`, '--interval', '1', '--', ...command], {
    env: { ...process.env, PATH: [join(ROOT, 'node_modules', '.bin'), process.env['PATH']].join(delimiter), CAIRN_STORE: store },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  onTestFinished(() => killGroup(child));
  return child;
}

async function makeStore(dir: string): Promise<void> {
  await using store = await openStore(dir);
  await store.volumes.create('runs');
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // it is gone
  }
}

/** All that it says; ends early, by SIGKILL of all, once it has said `until`. */
async function output(child: ChildProcess, until?: string): Promise<{ said: string; code: number | null }> {
  let said = '';
  child.stdout!.on('data', (text) => {
    said += String(text);
    if (until !== undefined && said.includes(until)) killGroup(child);
  });
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  return { said, code };
}

function weightsIn(folder: string): Buffer {
  return readFileSync(join(folder, `checkpoint-${STEPS}`, 'weights.bin'));
}

describe.each([
  ['Python', ['python3', join(ROOT, 'examples', 'trainer', 'train.py')], ['--steps', String(STEPS), '--pause', '0.05']],
  ['JavaScript', [process.execPath, join(ROOT, 'examples', 'trainer', 'train.mjs')], [String(STEPS), '0.05']],
])('a trainer in %s that knows nothing of Cairn', (_language, command, options) => {
  it('goes on where it was after a kill, and ends as if there had been none; every checkpoint is in the history', async () => {
    const [store, folder, undisturbed] = [join(tempDir(), 'store'), join(tempDir(), 'run'), tempDir()];
    await makeStore(store);
    const [first, ...rest] = command as [string, ...string[]];
    const alone = spawn(first, [...rest, undisturbed, ...options.slice(0, options.length === 4 ? 2 : 1)], { stdio: 'inherit' });
    await new Promise((resolve) => alone.on('close', resolve));

    const killed = await output(train(store, folder, ...command, folder, ...options), 'step 30 ');
    expect(killed.code).not.toBe(0);
    const resumed = await output(train(store, folder, ...command, folder, ...options));
    expect(resumed.code).toBe(0);
    expect(/starting at step (\d+)/.exec(resumed.said)![1]).toBe('30');
    expect(weightsIn(folder).equals(weightsIn(undisturbed))).toBe(true);

    await using opened = await openStore(store);
    await using runs = await opened.volumes.fromName('runs');
    const names = (await runs.listdir('/')).map((entry) => entry.path).sort();
    expect(names).toEqual(
      readdirSync(folder)
        .filter((name) => name.startsWith('checkpoint-'))
        .sort(),
    );
    expect(Buffer.from(await runs.readFile(`checkpoint-${STEPS}/weights.bin`)).equals(weightsIn(undisturbed))).toBe(true);
  });
});

it('a trainer that commits by itself names its versions, and the best of them are kept', async () => {
  const [store, folder] = [join(tempDir(), 'store'), join(tempDir(), 'run')];
  await makeStore(store);
  mkdirSync(folder);
  const script = join(ROOT, 'examples', 'trainer', 'train.py');
  const { code } = await output(train(store, folder, 'python3', script, folder, '--steps', String(STEPS), '--commit'));
  expect(code).toBe(0);
  await using opened = await openStore(store);
  await using runs = await opened.volumes.fromName('runs');
  const losses = new Map<number, number>();
  for await (const { message, metadata } of runs.history()) {
    if (message.startsWith('step ')) losses.set(metadata['step'] as number, metadata['loss'] as number);
  }
  expect([...losses.keys()].sort((a, b) => a - b)).toEqual([10, 20, 30, 40, 50, 60]);
  const { removed } = await runs.prune({ keepBest: { metadata: 'loss', order: 'min', count: 2 } });
  expect(removed.map((version) => version.metadata['step'])).toEqual(expect.arrayContaining([10, 20, 30]));
  const kept = [];
  for await (const { metadata } of runs.history()) if ('loss' in metadata) kept.push(metadata['step']);
  expect(kept).toEqual(expect.arrayContaining([50, 60]));
});
