// Compiles the projects of the workspace (those named as arguments and what they need; all without any) and the WASM kernels, each only
// when its sources changed, then bundles what is started.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundle } from './bundle.mjs';
import { ROOT, fingerprint, run, runTool, since } from './lib/tools.mjs';

const CORE = join('packages', 'core');
const WASM_SCRIPT = join('scripts', 'build-wasm.mjs');
/** Left out of the published package by its "files". */
const WASM_STAMP = join(ROOT, CORE, 'dist', '.wasm-built');

/**
 * @param {string[]} projects folders with a tsconfig.json; none for all
 * @returns {Promise<number>} the exit code: 0 when everything is built
 */
export async function build(projects) {
  const start = performance.now();
  const steps = [buildKernels, () => runTool('typescript', join('bin', 'tsc'), ['-b', '--pretty', ...projects]), bundleAll];
  for (const step of steps) {
    const code = await step();
    if (code !== 0) {
      console.error('The build failed; the lines above say where.');
      return code;
    }
  }
  console.log(`Built in ${since(start)}.`);
  return 0;
}

async function bundleAll() {
  await bundle();
  return 0;
}

/** `gear.as.ts` -> `dist/…/gear.wasm`, beside the compiled wrapper that loads it. */
async function buildKernels() {
  const source = join(CORE, 'src');
  const kernels = readdirSync(join(ROOT, source), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.as.ts'));
  const wanted = fingerprint([], [WASM_SCRIPT, 'pnpm-lock.yaml', ...kernels.sort().map((file) => join(source, file))]);
  const present = kernels.every((file) => existsSync(join(ROOT, CORE, 'dist', file.replace(/\.as\.ts$/, '.wasm'))));
  if (present && existsSync(WASM_STAMP) && readFileSync(WASM_STAMP, 'utf8') === wanted) return 0;
  const code = await run(process.execPath, [WASM_SCRIPT]);
  if (code === 0) {
    mkdirSync(dirname(WASM_STAMP), { recursive: true });
    writeFileSync(WASM_STAMP, wanted);
  }
  return code;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = await build(process.argv.slice(2));
