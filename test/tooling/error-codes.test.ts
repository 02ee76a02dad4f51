import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { exitCodeFor } from '../../packages/cli/src/exit-codes.js';
import { exitCodeFor as gpuExitCodeFor } from '../../packages/gpu-runner/src/command/exit-codes.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Code and exit status of each row of the page's tables. */
const documented = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` .* (\d+) \|$/gm)].map(([, code = '', exit]) => ({
  code,
  exit: Number(exit),
}));

/** The members of a union type of string literals. */
function codesOf(file: string, union: string): string[] {
  const members = new RegExp(`export type ${union} =([\\s\\S]*?);`).exec(read(file))?.[1] ?? '';
  return [...members.matchAll(/'([A-Z_]+)'/g)].map((match) => match[1]!);
}

it('docs/errors.md explains every error code, and none that does not exist', () => {
  const codes = [...codesOf('packages/core/src/errors.ts', 'ErrorCode'), ...codesOf('packages/gpu-runner/src/errors.ts', 'GpuErrorCode')];
  expect(codes.length).toBeGreaterThan(30);
  expect(documented.map(({ code }) => code).sort()).toEqual(codes.sort());
});

it('docs/errors.md names the exit codes that the commands really have', () => {
  const exitOf = (code: string): number => (code.startsWith('CAIRN_GPU_') ? gpuExitCodeFor(code) : exitCodeFor(code));
  expect(documented.map(({ code }) => ({ code, exit: exitOf(code) }))).toEqual(documented);
});
