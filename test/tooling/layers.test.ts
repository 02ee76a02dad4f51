import { ESLint } from 'eslint';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
// @ts-expect-error: a plain script, without declarations
import { EXCEPTIONS } from '../../scripts/lib/disk-door.mjs';
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
const importErrors = (file: string, code: string): Promise<string[]> => errorsOf('no-restricted-imports', file, code);

async function errorsOf(rule: string, file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: join(ROOT, file) });
  expect(result?.messages.filter((message) => message.fatal)).toEqual([]);
  return (result?.messages ?? []).filter((message) => message.ruleId === rule).map((message) => message.message);
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

describe('@cairn/core writes through its disk, and nothing else', () => {
  const writes = (file: string, code: string): Promise<string[]> => errorsOf('no-restricted-syntax', `${CORE}/${file}`, code);

  it.each([
    ['a file', `import fs from 'node:fs';\nfs.writeFileSync('a', '');`],
    ['a descriptor that may write', `import fs from 'node:fs';\nfs.openSync('a', 'w');`],
    ['a name that is computed', `import fs from 'node:fs';\nfs['rmSync']('a');`],
    ['a single function', `import { rmSync } from 'node:fs';\nrmSync('a');`],
    ['a function by another name', `import { rmSync as look } from 'node:fs';\nlook('a');`],
    ['promises', `import { promises as fs } from 'node:fs';\nawait fs.rm('a');`],
    ['the module of promises', `import { rm } from 'node:fs/promises';\nawait rm('a');`],
    ['the module without its prefix', `import { rmSync } from 'fs';\nrmSync('a');`],
    ['all of the module', `import * as files from 'node:fs';\nfiles.rmSync('a');`],
    ['the module by another name', `import files from 'node:fs';\nfiles.rmSync('a');`],
    ['the module later', `const files = await import('node:fs');\nfiles.rmSync('a');`],
    ['the module handed on', `import fs from 'node:fs';\nconst { rmSync } = fs;\nrmSync('a');`],
  ])('refused: %s', async (_what, code) => {
    expect(await writes('volume/paths.ts', code)).not.toEqual([]);
  });

  it('allowed: to look; and to write in disk/, and in the files that say why', async () => {
    const looks = `import fs, { existsSync, type Stats } from 'node:fs';\nexport const s: Stats = fs.lstatSync('a');\nexistsSync('b');`;
    expect(await writes('volume/paths.ts', looks)).toEqual([]);
    const mkdir = `import fs from 'node:fs';\nfs.mkdirSync('a');`;
    for (const file of ['disk/node-disk.ts', ...Object.keys(EXCEPTIONS as object)]) {
      expect(existsSync(join(ROOT, CORE, file)), file).toBe(true);
      expect(await writes(file, mkdir), file).toEqual([]);
    }
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
