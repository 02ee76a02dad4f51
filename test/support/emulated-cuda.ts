import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export const SOURCES = fileURLToPath(new URL('./emulated-cuda/', import.meta.url));
const FLAGS = ['-O1', '-g', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-shared', '-fPIC', '-pthread'];

interface Koffi {
  load(path: string): { func(prototype: string): (...parameters: unknown[]) => unknown };
}

/** The one of gpu-runner: calls from here are made by the thread of the test, which is none of a device's. */
export const koffi = createRequire(new URL('../../packages/gpu-runner/package.json', import.meta.url))('koffi') as Koffi;

/** Why the emulated driver cannot be had here; undefined where it can. In CI it has to be had. */
export const noEmulatedCuda =
  process.env['CI'] === undefined && spawnSync('cc', ['--version']).status !== 0 ? 'there is no C compiler (cc)' : undefined;

/** What is alive in the emulated driver of this process, and what it has done. */
export interface CudaReport {
  alive: Record<
    | 'physical'
    | 'reservations'
    | 'mappings'
    | 'allocations'
    | 'opened'
    | 'registered'
    | 'hostAllocations'
    | 'streams'
    | 'events'
    | 'contexts',
    number
  >;
  bytes: Record<'hostToDevice' | 'deviceToHost' | 'deviceToDevice' | 'set' | 'pageable', number>;
  mostQueued: number;
  threads: number;
  /** Asynchronous operations that met memory which was gone, or not theirs to write. */
  faults: number;
  /** Whether the injected error has struck. */
  fired: boolean;
  calls: Record<string, number>;
}

export const NOTHING_ALIVE: CudaReport['alive'] = {
  physical: 0,
  reservations: 0,
  mappings: 0,
  allocations: 0,
  opened: 0,
  registered: 0,
  hostAllocations: 0,
  streams: 0,
  events: 0,
  contexts: 0,
};

/** Settings by the names of test/support/emulated-cuda/emulated.h, without their prefix. */
export type CudaSettings = Partial<
  Record<'DEVICES' | 'MEMORY_BYTES' | 'GRANULARITY_BYTES' | 'VMM' | 'COPY_DELAY_US' | 'FAIL' | 'CORRUPT', string | number>
>;

const DEFAULTS: CudaSettings = {
  DEVICES: 1,
  MEMORY_BYTES: 1 << 30,
  GRANULARITY_BYTES: 64 << 10,
  VMM: 1,
  COPY_DELAY_US: 0,
  FAIL: '',
  CORRUPT: 0,
};

export class EmulatedCuda {
  /** Of libcuda.so.1. */
  readonly path: string;
  private readonly setOne: (name: string, value: string) => void;
  private readonly writeReport: (buffer: Buffer, size: number) => number;

  constructor(folder: string) {
    this.path = buildEmulatedCuda(folder);
    const library = koffi.load(this.path);
    this.setOne = library.func('void emulated_cuda_set(const char *name, const char *value)');
    this.writeReport = library.func('int emulated_cuda_report(void *buffer, size_t size)') as typeof this.writeReport;
  }

  /** Until the running test is done. */
  set(settings: CudaSettings): void {
    for (const [name, value] of Object.entries({ ...DEFAULTS, ...settings })) this.setOne(name, String(value));
    onTestFinished(() => {
      for (const [name, value] of Object.entries(DEFAULTS)) this.setOne(name, String(value));
    });
  }

  report(): CudaReport {
    const buffer = Buffer.alloc(16384);
    return JSON.parse(buffer.toString('latin1', 0, this.writeReport(buffer, buffer.length))) as CudaReport;
  }
}

/** Compiles the emulated driver; the path of its libcuda.so.1. */
export function buildEmulatedCuda(folder: string, ...flags: string[]): string {
  const path = join(folder, 'libcuda.so.1');
  const sources = ['driver.c', 'memory.c', 'streams.c'].map((name) => join(SOURCES, name));
  execFileSync('cc', [...FLAGS, ...flags, '-Wl,-soname,libcuda.so.1', '-o', path, ...sources], { stdio: ['ignore', 'inherit', 'inherit'] });
  return path;
}

/** Descriptors of emulated memory that this process has. */
export function emulatedDescriptors(): number {
  const names = fs.readdirSync('/proc/self/fd');
  return names.filter((name) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${name}`).startsWith('/memfd:emulated-cuda');
    } catch {
      return false;
    }
  }).length;
}
