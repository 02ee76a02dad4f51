import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { exitCodeFor } from '../../packages/cli/src/exit-codes.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Code and exit status of each row of the page's tables. */
const documented = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` .* (\d+) \|$/gm)].map(([, code = '', exit]) => ({
  code,
  exit: Number(exit),
}));

it('docs/errors.md explains every error code, and none that does not exist', () => {
  const union = /export type ErrorCode =([\s\S]*?);/.exec(read('packages/core/src/errors.ts'))?.[1] ?? '';
  const codes = [...union.matchAll(/'([A-Z_]+)'/g)].map((match) => match[1]);
  expect(codes.length).toBeGreaterThan(20);
  expect(documented.map(({ code }) => code).sort()).toEqual(codes.sort());
});

it('docs/errors.md names the exit codes that the command really has', () => {
  expect(documented.map(({ code }) => ({ code, exit: exitCodeFor(code) }))).toEqual(documented);
});
