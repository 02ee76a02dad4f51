import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isCairnError, openTemporaryStore, type ReadView, type Store, type StoreOptions, type Volume } from '@cairn/core';
import { afterAll, expect, onTestFinished } from 'vitest';
import { splitMix } from '../chunking/samples.js';

/** A store of the running test's own, closed and gone when it is done. */
export async function temporaryStore(options: StoreOptions = {}): Promise<Store> {
  const store = await openTemporaryStore({ workers: 2, ...options });
  onTestFinished(() => store.close());
  return store;
}

/** A handle on the volume `v` of a store. */
export async function volumeV(store: Store): Promise<Volume> {
  return store.volumes.fromName('v', { createIfMissing: true });
}

/** One store for all tests of a file that need only a volume of their own: engines and threads take longer to start than most tests. */
let shared: Promise<Store> | undefined;
let volumesMade = 0;
afterAll(async () => {
  await (await shared)?.close();
});

export async function newVolume(): Promise<Volume> {
  const store = await (shared ??= openTemporaryStore({ workers: 2 }));
  return store.volumes.fromName(`v${++volumesMade}`, { createIfMissing: true });
}

/** Two handles on one new volume, both on the same base, which holds `files`. In the shared store unless one is given. */
export async function twoHandles(files: Record<string, string> = {}, own?: Store): Promise<Pair> {
  const f = await (own === undefined ? newVolume() : volumeV(own));
  await writeAll(f, files);
  await f.commit();
  const store = own ?? (await shared!);
  const open = (): Promise<Volume> => store.volumes.fromName(f.name!);
  return { store, name: f.name!, open, f, g: await open() };
}

interface Pair {
  store: Store;
  name: string;
  /** Another handle on the volume. */
  open: () => Promise<Volume>;
  f: Volume;
  g: Volume;
}

export async function writeAll(volume: Volume, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) await volume.writeFile(path, text);
}

/** Every file of a view with its text, symlinks as `-> target`, and empty folders as `/`. */
export async function contents(view: ReadView): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await view.listdir('', { recursive: true })) {
    if (entry.type === 'file') found[entry.path] = await view.readFile(entry.path, 'utf8');
    else if (entry.type === 'symlink') found[entry.path] = `-> ${entry.symlinkTarget}`;
    else if ((await view.listdir(entry.path)).length === 0) found[entry.path] = '/';
  }
  return found;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** What a call fails with, which has to be one of Cairn's errors. */
export async function failure(work: unknown): Promise<Record<string, unknown> & { code: string; hint: string }> {
  const error: unknown = await Promise.resolve(typeof work === 'function' ? (async () => (work as () => unknown)())() : work).then(
    () => expect.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!isCairnError(error)) throw error;
  expect(error.hint).not.toBe('');
  return error as never;
}

export async function codeOf(work: unknown): Promise<string> {
  return (await failure(work)).code;
}

/** Compares many bytes in no time, which `toEqual` does not. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  expect.fail(`${actual.length} bytes, not the ${expected.length} expected; the first difference is at ${at < 0 ? expected.length : at}`);
}

/** Bytes without structure, the same for the same seed. */
export function noise(length: number, seed = 0): Uint8Array {
  return splitMix(length, BigInt(seed));
}

const TEST_DIR = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program in a process of its own, from where `@cairn/core` can be found, and waits for its end. */
export function runNode(
  source: string,
  options: { module?: boolean; env?: Record<string, string>; prefix?: string[] } = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const [command, ...rest] = [
    ...(options.prefix ?? []),
    process.execPath,
    ...(options.module === false ? [] : ['--input-type=module']),
    '-e',
    source,
  ];
  const child = spawn(command, rest, {
    cwd: TEST_DIR,
    env: { ...process.env, NODE_OPTIONS: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text.out += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text.err += part));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...text }));
  });
}
