import { openStore, type Store } from '@cairn/core';
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import { commit } from './support.js';

const COMMAND = fileURLToPath(new URL('../../packages/gpu-runner/bin/cairn-gpu.js', import.meta.url));

export interface Output {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A process whose output is kept. */
export class Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Output>;
  private readonly heard = { stdout: '', stderr: '' };
  private listeners: (() => void)[] = [];

  constructor(command: string, args: string[], environment: NodeJS.ProcessEnv = {}, stdin: 'ignore' | 'pipe' = 'ignore', cwd?: string) {
    this.child = spawn(command, args, { stdio: [stdin, 'pipe', 'pipe'], env: { ...process.env, ...environment }, cwd });
    for (const stream of ['stdout', 'stderr'] as const) {
      this.child[stream]!.setEncoding('utf8').on('data', (text: string) => {
        this.heard[stream] += text;
        for (const listener of this.listeners.splice(0)) listener();
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        resolve({ code, signal, ...this.heard });
        for (const listener of this.listeners.splice(0)) listener();
      });
    });
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.ended.catch(() => undefined);
    });
  }

  /** The first match in what it has printed. @throws Error when it ends without */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.heard.stdout);
      if (found !== null) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`ended: ${this.heard.stdout}${this.heard.stderr}`);
      await new Promise<void>((resolve) => this.listeners.push(resolve));
    }
  }

  /** What it printed. @throws Error unless it exits with 0 */
  async succeeds(): Promise<string> {
    const { code, signal, stdout, stderr } = await this.ended;
    if (code !== 0) throw new Error(`ended with ${code ?? signal}: ${stdout}${stderr}`);
    return stdout;
  }
}

export function cairnGpu(args: string[], environment: NodeJS.ProcessEnv = {}): Process {
  return new Process(process.execPath, [COMMAND, ...args], environment);
}

export interface Rig {
  dir: string;
  store: Store;
  socket: string;
  daemon: Process;
}

/** A daemon in a process of its own, which serves a store that this process writes to. */
export async function daemonOn(files: Record<string, Uint8Array | string>, ...args: string[]): Promise<Rig> {
  return daemonIn({}, files, ...args);
}

/** The same with variables in the daemon's environment. */
export async function daemonIn(
  environment: NodeJS.ProcessEnv,
  files: Record<string, Uint8Array | string>,
  ...args: string[]
): Promise<Rig> {
  const dir = tempDir();
  const store = await openStore(join(dir, 'store'), { workers: 1 });
  onTestFinished(() => store.close());
  await commit(store, 'models', files);
  const socket = join(dir, 'run', 'gpu.sock');
  const daemon = cairnGpu(['serve', '--store', join(dir, 'store'), '--socket', socket, ...args], environment);
  await daemon.says(/serving on/);
  return { dir, store, socket, daemon };
}

/** A process, or one of its descriptors, may have gone meanwhile. */
function orNothing<T>(read: () => T, nothing: T): T {
  try {
    return read();
  } catch {
    return nothing;
  }
}

/** Inodes of the memory of ours that a process has open or mapped. */
export function memoryOf(pid: number): number[] {
  const descriptors = orNothing(() => fs.readdirSync(`/proc/${pid}/fd`), []).map((name) => `/proc/${pid}/fd/${name}`);
  const open = descriptors.filter((path) => orNothing(() => fs.readlinkSync(path), '').startsWith('/memfd:cairn '));
  const maps = orNothing(() => fs.readFileSync(`/proc/${pid}/maps`, 'latin1'), '');
  return [
    ...open.map((path) => orNothing(() => fs.statSync(path).ino, 0)),
    ...[...maps.matchAll(/ (\d+) +\/memfd:cairn /g)].map(([, inode]) => Number(inode)),
  ];
}

/** Processes that have a piece of memory open or mapped. */
export function holders(inode: number): number[] {
  const pids = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => memoryOf(pid).includes(inode));
}
