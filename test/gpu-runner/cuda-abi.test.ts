import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as abi from '../../packages/gpu-runner/src/device/cuda/abi.js';
import { buildEmulatedCuda, noEmulatedCuda, SOURCES } from '../support/emulated-cuda.js';
import { tempDir } from '../support/temp-dir.js';

const CONSUMER = fileURLToPath(new URL('../../examples/gpu-consumers/cuda-consumer.c', import.meta.url));
const toolkit = ['/usr/local/cuda/include', '/usr/include'].find((dir) => existsSync(join(dir, 'cuda.h')));
const nvcc = spawnSync('nvcc', ['--version']).status === 0;
if (toolkit === undefined || !nvcc) console.warn('the CUDA toolkit is not installed: what is compared with it is compared elsewhere');

/** Structures and codes as a header has them. */
function layout(...flags: string[]): Record<string, number> {
  const program = join(tempDir(), 'layout');
  execFileSync('cc', ['-o', program, ...flags, join(SOURCES, 'layout.c')]);
  const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

describe.skipIf(noEmulatedCuda !== undefined)('structures and codes of the CUDA driver', () => {
  it('are in TypeScript what they are in C', () => {
    const c = layout();
    expect(c).toMatchObject({
      CUDA_ERROR_OUT_OF_MEMORY: abi.RESULT.outOfMemory,
      CUDA_ERROR_NOT_READY: abi.RESULT.notReady,
      CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED: abi.ATTRIBUTE.virtualMemory,
      CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED: abi.ATTRIBUTE.posixDescriptors,
      CU_STREAM_NON_BLOCKING: abi.STREAM_NON_BLOCKING,
      CU_EVENT_DISABLE_TIMING: abi.EVENT_DISABLE_TIMING,
      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR: abi.HANDLE_TYPE_POSIX_DESCRIPTOR,
      CU_MEM_ALLOC_GRANULARITY_MINIMUM: abi.GRANULARITY_MINIMUM,
      CU_MEM_ACCESS_FLAGS_PROT_READ: abi.ACCESS.read,
      CU_MEM_ACCESS_FLAGS_PROT_READWRITE: abi.ACCESS.readWrite,
      'sizeof(CUipcMemHandle)': abi.IPC_HANDLE_BYTES,
    });
    const prop = abi.allocationProp(5);
    expect(prop.length).toBe(c['sizeof(CUmemAllocationProp)']);
    expect(prop.readInt32LE(c['CUmemAllocationProp.type'])).toBe(c['CU_MEM_ALLOCATION_TYPE_PINNED']);
    expect(prop.readInt32LE(c['CUmemAllocationProp.requestedHandleTypes'])).toBe(c['CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR']);
    expect(prop.readInt32LE(c['CUmemAllocationProp.location.type'])).toBe(c['CU_MEM_LOCATION_TYPE_DEVICE']);
    expect(prop.readInt32LE(c['CUmemAllocationProp.location.id'])).toBe(5);
    const desc = abi.accessDesc(5, abi.ACCESS.read);
    expect(desc.length).toBe(c['sizeof(CUmemAccessDesc)']);
    expect(desc.readInt32LE(c['CUmemAccessDesc.location.type'])).toBe(c['CU_MEM_LOCATION_TYPE_DEVICE']);
    expect(desc.readInt32LE(c['CUmemAccessDesc.location.id'])).toBe(5);
    expect(desc.readInt32LE(c['CUmemAccessDesc.flags'])).toBe(c['CU_MEM_ACCESS_FLAGS_PROT_READ']);
  });

  it.runIf(toolkit !== undefined)('are what the header of the CUDA toolkit says, and so is every function that is emulated', () => {
    const flags = ['-DWITH_CUDA_H', `-I${toolkit}`];
    expect(layout()).toEqual(layout(...flags));
    buildEmulatedCuda(tempDir(), ...flags); // a declaration that differs does not compile
  });

  it.runIf(nvcc)('let the consumer in C be compiled and linked by nvcc', () => {
    const dir = tempDir();
    execFileSync('nvcc', ['-o', join(dir, 'consumer'), CONSUMER, '-Xlinker', buildEmulatedCuda(dir)]);
  });
});
