import type { HostDevice } from '@cairn/gpu-runner';
import { type Region } from '@cairn/gpu-runner';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { noise } from '../support/random.js';
import { contentOf, descriptorOf, hostDevice } from './support.js';

const MIB = 1 << 20;
const names = (): string[] => fs.readdirSync('/dev/shm').filter((name) => name.startsWith('cairn-'));

async function filled(device: HostDevice, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.copyIn(0, bytes);
  await region.seal();
  return region;
}

describe.each(['memfd', 'shm'] as const)('host memory, %s', (backing) => {
  it('is what was copied in, in this process and in one that inherits the descriptor', async () => {
    const bytes = noise(MIB + 1, 1);
    const region = await filled(hostDevice({ backing }), bytes);
    expect(contentOf(region).equals(bytes)).toBe(true);
    const descriptor = descriptorOf(region);
    const child = spawnSync('cat', ['/proc/self/fd/3'], { stdio: ['ignore', 'pipe', 'inherit', descriptor], maxBuffer: 2 * MIB });
    expect(child.stdout.equals(bytes)).toBe(true);
  });

  it('cannot be changed by those it is handed to: not written, not resized', async () => {
    const region = await filled(hostDevice({ backing }), noise(MIB, 1));
    const descriptor = descriptorOf(region);
    expect(() => fs.writeSync(descriptor, Buffer.from('x'), 0, 1, 0)).toThrow('EBADF');
    // As another process of the same user could try. Root may open files that it cannot write to.
    const attempt = 'import os,sys\nfd = os.open("/proc/self/fd/3", os.O_RDWR)\nos.pwrite(fd, b"x", 0)\nos.ftruncate(fd, 5)';
    const child = spawnSync('python3', ['-c', attempt], { stdio: ['ignore', 'pipe', 'pipe', descriptor] });
    if (backing === 'memfd' || process.getuid?.() !== 0) expect(String(child.stderr)).toContain('PermissionError');
  });

  it('is given out again only when no process has it open or mapped any more', async () => {
    const device = hostDevice({ backing, capacityBytes: 8 * MIB });
    const first = await filled(device, noise(MIB, 1));
    const opened = fs.openSync(`/proc/self/fd/${descriptorOf(first)}`, 'r');
    device.free(first);
    expect(device.info()).toMatchObject({ backing, allocatedBytes: 0, lingeringBytes: MIB, reusableBytes: 0 });
    const second = await filled(device, noise(MIB, 2));
    expect(second).not.toBe(first);
    expect(Buffer.from(noise(MIB, 1)).equals(fs.readFileSync(`/proc/self/fd/${opened}`))).toBe(true);
    fs.closeSync(opened);
    expect(device.info()).toMatchObject({ allocatedBytes: MIB, lingeringBytes: 0, reusableBytes: MIB });
    const third = await device.allocate(MIB);
    expect(third).toBe(first);
    expect(third.dirty).toBe(true);
    await third.copyIn(0, noise(MIB, 3));
    expect(contentOf(third).equals(noise(MIB, 3))).toBe(true);
  });

  it('stays within its capacity, and says so by a typed error', async () => {
    const device = hostDevice({ backing, capacityBytes: 4 * MIB });
    await expect(device.allocate(4 * MIB + 1)).rejects.toMatchObject({ code: 'CAIRN_GPU_MODEL_TOO_LARGE' });
    const two = [await device.allocate(2 * MIB), await device.allocate(MIB)] as const;
    await expect(device.allocate(MIB + 1)).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    device.free(two[0]);
    await device.allocate(2 * MIB + 5); // what was kept for reuse gives way
    expect(device.info()).toMatchObject({ allocatedBytes: 3 * MIB + 5, reusableBytes: 0 });
    await device.close();
    await device.close();
  });
});

it('leaves no name behind in /dev/shm, so that memory goes with its last user however that ends', async () => {
  const before = names();
  await filled(hostDevice({ backing: 'shm' }), noise(MIB, 1));
  expect(names()).toEqual(before);
});

it('refuses to take more than the machine has', async () => {
  await expect(hostDevice({ capacityBytes: 2 ** 50 }).allocate(2 ** 49)).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
});
