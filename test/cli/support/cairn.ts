import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore, type FileEntry, type Store } from '@cairn/core';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';

export const BIN = fileURLToPath(new URL('../../../packages/cli/bin/cairn.js', import.meta.url));

export interface Result {
  code: number | null;
  stdout: string;
  /** The same as bytes. */
  bytes: Buffer;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: string | Uint8Array;
  nodeOptions?: string[];
}

/** A folder of its own for each test, with the store beside what the test makes; both are gone afterwards. */
export class Workplace {
  readonly dir = mkdtempSync(join(tmpdir(), 'cairn-cli-'));
  readonly store = join(this.dir, 'store');

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** Starts the built command as its users do: a process of its own. */
  start(args: string[], options: RunOptions = {}): ChildProcess {
    const env: NodeJS.ProcessEnv = { ...process.env, CAIRN_STORE: this.store, ...options.env };
    for (const name of ['NO_COLOR', 'FORCE_COLOR', 'NODE_OPTIONS']) if (options.env?.[name] === undefined) delete env[name];
    return spawn(process.execPath, [...(options.nodeOptions ?? []), BIN, ...args], { cwd: options.cwd ?? this.dir, env, stdio: 'pipe' });
  }

  async run(args: string[], options: RunOptions = {}): Promise<Result> {
    const child = this.start(args, options);
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
    return finished(child);
  }

  /** Runs and expects success. */
  async ok(...args: string[]): Promise<Result> {
    const result = await this.run(args);
    expect(result, `cairn ${args.join(' ')}\n${result.stderr}`).toMatchObject({ code: 0 });
    return result;
  }

  /** One JSON document. */
  async json<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    return JSON.parse((await this.ok(...args, '--json')).stdout) as T;
  }

  /** NDJSON. */
  async records<T = Record<string, unknown>>(...args: string[]): Promise<T[]> {
    return lines((await this.ok(...args, '--json')).stdout).map((line) => JSON.parse(line) as T);
  }

  /** Uses the library on the same store: what a test does not ask of the command, it does or sees quicker so. */
  async inStore<T>(use: (store: Store) => Promise<T>): Promise<T> {
    const store = await openStore(this.store);
    try {
      return await use(store);
    } finally {
      await store.close();
    }
  }

  /** Makes a volume, with what is in a local folder. */
  async seed(volume: string, folder?: string): Promise<void> {
    await this.inStore(async (store) => {
      await store.volumes.create(volume);
      if (folder === undefined) return;
      const handle = await store.volumes.fromName(volume);
      await handle.batchUpload((batch) => batch.putDirectory(this.path(folder), '/'));
    });
  }

  /** All that is in the newest version. */
  async entries(volume: string): Promise<FileEntry[]> {
    return this.inStore(async (store) => (await store.volumes.fromName(volume)).listdir('/', { recursive: true }));
  }

  /** The paths of it, sorted. */
  async tree(volume: string): Promise<string[]> {
    return (await this.entries(volume)).map((entry) => entry.path).sort();
  }

  /** The ids of all versions, newest first. */
  async ids(volume: string): Promise<string[]> {
    return this.inStore(async (store) => {
      const ids: string[] = [];
      for await (const { id } of (await store.volumes.fromName(volume)).history()) ids.push(id);
      return ids;
    });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A fresh workplace before each test; with `shared`, one for all tests of the file, which then only look. */
export function useWorkplace(shared?: 'shared'): { readonly at: Workplace } {
  const holder: { at: Workplace } = { at: undefined as unknown as Workplace };
  const [before, after] = shared === undefined ? [beforeEach, afterEach] : [beforeAll, afterAll];
  before(() => {
    holder.at = new Workplace();
  });
  after(() => holder.at.remove());
  return holder;
}

export async function finished(child: ChildProcess): Promise<Result> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  const bytes = Buffer.concat(out);
  return { code, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString() };
}

export function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Bytes that do not compress and are the same for the same seed. */
export function noise(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < length; i++) blocks.push(createHash('sha512').update(`${seed} ${i}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

/** The command after `undo: `, as words for another run. */
export function undoOf(result: Result): string[] {
  const line = lines(result.stdout).find((each) => each.startsWith('undo: cairn '));
  expect(line, result.stdout).toBeDefined();
  return line!.slice('undo: cairn '.length).split(' ');
}

/** How long ago something of this test run may be said to be. */
export const RECENT = '(just now|\\d+ (second|minute)s? ago)';
