import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// @ts-expect-error: a plain script, without declarations
import { addonEnvironment } from '../../scripts/lib/tools.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

interface Manifest {
  version: string;
  packageManager: string;
  dependencies: Record<string, string>;
}

const manifestOf = async (folder: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;

/** Without what npm and vitest tell their children, so that commands run as in a shell; addons are compiled as scripts/setup.mjs has them compiled. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|vitest|NODE_ENV$|NODE_OPTIONS$|INIT_CWD$|CAIRN_)/i.test(name));
  return { ...Object.fromEntries(kept), ...(addonEnvironment as () => NodeJS.ProcessEnv)() };
}

async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, env: environment(), maxBuffer: 1 << 26 });
  return stdout;
}

let work: string;
const tarballs: Record<'core' | 'cli', string> = { core: '', cli: '' };
const contents: Record<'core' | 'cli', string[]> = { core: [], cli: [] };

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cairn-packaging-'));
  const { packageManager } = await manifestOf(ROOT);
  for (const name of ['core', 'cli'] as const) {
    await run(join(ROOT, 'packages', name), 'npx', '-y', packageManager, 'pack', '--pack-destination', work);
    const file = (await readdir(work)).find((entry) => entry.startsWith(`cairn-${name}-`));
    tarballs[name] = join(work, file ?? '');
    contents[name] = (await run(work, 'tar', '-tzf', tarballs[name])).trim().split('\n').sort();
  }
  await writeFile(join(work, 'package.json'), JSON.stringify({ name: 'consumer', private: true, version: '1.0.0' }));
  await run(work, 'npm', 'install', '--no-audit', '--no-fund', tarballs.core, tarballs.cli);
});

afterAll(() => rm(work, { recursive: true, force: true }));

describe('what is published', () => {
  it.each(['core', 'cli'] as const)('%s: what its users need, and nothing of the workshop', (name) => {
    for (const entry of contents[name]) {
      expect(entry).toMatch(/^package\/(package\.json|README\.md|LICENSE|(dist|src|bin)\/.+)$/);
      expect(entry).not.toMatch(/\.test\.|tsbuildinfo|\/\.[^/]+$|\/test\//);
    }
    expect(contents[name]).toEqual(expect.arrayContaining(['package/package.json', 'package/README.md', 'package/LICENSE']));
  });

  it('core: the compiled entry with its types, and the WASM kernels', () => {
    const entries = ['bundle/index.js', 'bundle/worker.js', 'bundle/publish-thread.js', 'bundle/trial-process.js', 'index.d.ts'];
    expect(contents.core).toEqual(expect.arrayContaining(entries.map((file) => `package/dist/${file}`)));
    expect(contents.core.filter((entry) => entry.endsWith('.wasm'))).not.toEqual([]);
  });

  it('cli: depends on the very core that it was built with', async () => {
    const { version } = await manifestOf(join(ROOT, 'packages', 'core'));
    const { dependencies } = await manifestOf(join(work, 'node_modules', '@cairn', 'cli'));
    expect(dependencies['@cairn/core']).toBe(version);
  });
});

/** Larger than what bypasses the workers, so that worker threads, kernels and native addons all are found where npm put them. */
const PROGRAM = `
const { randomFillSync } = require('node:crypto');
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
module.exports = async function roundTrip({ openStore }, dir) {
  const bytes = randomFillSync(Buffer.alloc(12 * 1024 * 1024 + 7));
  const local = dir + '.bin';
  writeFileSync(local, bytes);
  const store = await openStore(dir);
  const volume = await store.volumes.fromName('models', { createIfMissing: true });
  await volume.batchUpload((batch) => batch.putFile(local, '/weights.bin'));
  const same = bytes.equals(await volume.readFile('/weights.bin'));
  const chunks = [];
  for await (const chunk of volume.chunks('/weights.bin')) chunks.push(chunk);
  await store.close();
  console.log(JSON.stringify({ same, several: chunks.length > 50 }));
};
`;

describe('the installed packages work in an empty folder', () => {
  beforeAll(() => writeFile(join(work, 'round-trip.cjs'), PROGRAM));

  it('by import: a file through worker threads and WASM, and back', async () => {
    const program = `import * as cairn from '@cairn/core';\nimport roundTrip from './round-trip.cjs';\nawait roundTrip(cairn, 'by-import');\n`;
    await writeFile(join(work, 'by-import.mjs'), program);
    expect(JSON.parse(await run(work, process.execPath, 'by-import.mjs'))).toEqual({ same: true, several: true });
  });

  it('by require(): the same', async () => {
    const program = `require('./round-trip.cjs')(require('@cairn/core'), 'by-require');\n`;
    await writeFile(join(work, 'by-require.cjs'), program);
    expect(JSON.parse(await run(work, process.execPath, 'by-require.cjs'))).toEqual({ same: true, several: true });
  });

  it('the declarations suit a strict TypeScript program', async () => {
    const program = `import { openStore, isCairnError, type Store } from '@cairn/core';
const store: Store = await openStore('somewhere');
for (const { name, size } of await store.volumes.list()) console.log(name.length + (size ?? 0));
try {
  await store.close();
} catch (error) {
  if (isCairnError(error, 'CAIRN_CLOSED')) console.log(error.hint);
}
export {};
`;
    await writeFile(join(work, 'consumer.mts'), program);
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'];
    const types = ['--typeRoots', join(ROOT, 'node_modules', '@types'), '--types', 'node'];
    await run(work, process.execPath, join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), ...options, ...types, 'consumer.mts');
  });

  it('npx cairn --version: the version of the package', async () => {
    const { version } = await manifestOf(join(ROOT, 'packages', 'cli'));
    expect(await run(work, 'npx', '--no-install', 'cairn', '--version')).toContain(version);
  });
});
