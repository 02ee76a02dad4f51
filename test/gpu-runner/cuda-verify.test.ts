import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { buildEmulatedCuda, noEmulatedCuda } from '../support/emulated-cuda.js';
import { tempDir } from '../support/temp-dir.js';
import { Process } from './daemon.js';

const PROGRAM = fileURLToPath(new URL('../../examples/gpu-verify/dist/main.js', import.meta.url));
const verify = (args: string[], library: string): Process =>
  new Process(process.execPath, [PROGRAM, ...args], { CAIRN_GPU_LIBCUDA: library });

it.skipIf(noEmulatedCuda !== undefined)(
  'the verification for hardware runs, and calls nothing verified or measured on an emulated driver',
  async () => {
    const library = buildEmulatedCuda(tempDir());
    const output = await verify(['--size-mib', '4', '--emulated'], library).succeeds();
    expect(output).not.toMatch(/FAILED|GB\/s/);
    expect(output.match(/^- ok: /gm)?.length).toBeGreaterThanOrEqual(16);
    expect(output).toMatch(/nothing is verified by that\.\n$/);
    expect(await verify([], library).ended).toMatchObject({ code: 1, stderr: expect.stringContaining('the driver is an emulated one') });
  },
  // Ten processes, one after the other.
  180_000,
);

it('the verification for hardware fails where there is no GPU, and says so', async () => {
  const { code, stdout, stderr } = await verify([], join(tempDir(), 'libcuda.so.1')).ended;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^Nothing was verified: no CUDA driver: looked for .*libcuda\.so\.1/);
});
