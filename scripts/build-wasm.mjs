// Compiles every AssemblyScript kernel packages/core/src/**/NAME.as.ts to the same folder under dist, as NAME.wasm.
// Up to date ones are left alone.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const core = fileURLToPath(new URL('../packages/core/', import.meta.url));
const SUFFIX = '.as.ts';

const changedMs = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

for (const name of readdirSync(join(core, 'src'), { recursive: true })) {
  if (!name.endsWith(SUFFIX)) continue;
  const source = join(core, 'src', name);
  const target = join(core, 'dist', name.slice(0, -SUFFIX.length) + '.wasm');
  if (changedMs(target) > Math.max(changedMs(source), changedMs(fileURLToPath(import.meta.url)))) continue;
  mkdirSync(dirname(target), { recursive: true });
  const { default: asc } = await import('assemblyscript/asc'); // takes most of a second to load
  // Kernels are functions over imported memory: no runtime, no allocation, no data of their own.
  const options = ['-O3', '--runtime', 'stub', '--noAssert', '--importMemory', '--initialMemory', '1', '--enable', 'simd'];
  const { error, stderr } = await asc.main([source, '--outFile', target, ...options]);
  if (error !== null) {
    process.stderr.write(stderr.toString());
    throw new Error(`cannot compile ${name}: ${error.message}`);
  }
}
