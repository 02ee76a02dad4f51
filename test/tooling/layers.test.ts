import { ESLint } from 'eslint';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
// @ts-expect-error: a plain script, without declarations
import { LAYERS as layers } from '../../scripts/lib/layers.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const CORE = 'packages/core/src';
const LAYERS = layers as string[][];

let eslint: ESLint;
beforeAll(() => {
  eslint = new ESLint({ cwd: ROOT });
});

/** Messages of the import rule for `code`, as if it stood in that existing file. */
async function importErrors(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: join(ROOT, file) });
  expect(result?.messages.filter((message) => message.fatal)).toEqual([]);
  return (result?.messages ?? []).filter((message) => message.ruleId === 'no-restricted-imports').map((message) => message.message);
}

describe('imports in @cairn/core point downward only', () => {
  it.each([
    ['a kernel importing a volume', `${CORE}/hash/digest.ts`, `export * from '../volume/volume.js';`],
    ['a type-only import upward', `${CORE}/hash/digest.ts`, `import type { V } from '../volume/volume.js';\nexport type W = V;`],
    ['a deeper folder', `${CORE}/hash/digest.ts`, `export * from '../../src/pack/writer.js';`],
    ['util importing a kernel', `${CORE}/util/bytes.ts`, `export * from '../hash/digest.js';`],
    ['the errors importing a layer', `${CORE}/errors.ts`, `export * from './hash/digest.js';`],
    ['anything importing the public index', `${CORE}/hash/digest.ts`, `export * from '../index.js';`],
    ['the core importing the command', `${CORE}/hash/digest.ts`, `export * from '@cairn/cli';`],
  ])('refused: %s', async (_what, file, code) => {
    expect(await importErrors(file, code)).toHaveLength(1);
  });

  it.each([
    ['the same folder', `${CORE}/hash/digest.ts`, `export * from './hasher.js';`],
    ['a lower layer', `${CORE}/hash/digest.ts`, `export * from '../util/bytes.js';\nexport * from '../errors.js';`],
    ['a package', `${CORE}/hash/digest.ts`, `export * from 'lmdb';`],
  ])('allowed: %s', async (_what, file, code) => {
    expect(await importErrors(file, code)).toEqual([]);
  });

  it('every folder and file of src/ has its layer, so that none is left unchecked', () => {
    const present = readdirSync(join(ROOT, CORE), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.name.endsWith('.ts'))
      .map((entry) => entry.name);
    expect(present.filter((name) => !LAYERS.flat().includes(name))).toEqual([]);
  });
});

describe('packages meet through their public exports', () => {
  it('the runner takes @cairn/core and nothing behind it', async () => {
    const file = 'packages/gpu-runner/src/index.ts';
    expect(await importErrors(file, `export * from '@cairn/core';`)).toEqual([]);
    expect(await importErrors(file, `export * from '@cairn/core/dist/index.js';`)).toHaveLength(1);
    expect(await importErrors(file, `export * from '../../core/src/index.js';`)).toHaveLength(1);
    expect(await importErrors(file, `export * from '@cairn/cli';`)).toHaveLength(1);
  });
});
