// Bundles what tsc compiled into few files: dist/bundle of each package that people start. Node takes about a millisecond for every
// module of a program and of each of its threads, and the engine has 170.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './lib/tools.mjs';

/** Entries by name, relative to the package's dist. Threads and processes are started by file name, so each is an entry beside the main one. */
const BUNDLES = [
  {
    folder: join('packages', 'core'),
    entries: {
      index: 'index.js',
      worker: 'workers/worker.js',
      'publish-thread': 'publish/publish-thread.js',
      'trial-process': 'index/trial-process.js',
    },
  },
  { folder: join('packages', 'cli'), entries: { main: 'main.js' } },
];

/** Needs the output of tsc. Throws on an import that leads nowhere. */
export async function bundle() {
  const { rolldown } = await import('rolldown');
  for (const { folder, entries } of BUNDLES) {
    const dist = join(ROOT, folder, 'dist');
    // Not every build is of every package.
    if (!Object.values(entries).every((file) => existsSync(join(dist, file)))) continue;
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
    const external = [...Object.keys({ ...dependencies, ...optionalDependencies }), /^node:/];
    const build = await rolldown({
      input: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(dist, file)])),
      platform: 'node',
      external,
      onLog(level, log, report) {
        if (level === 'warn') throw new Error(log.message);
        report(level, log);
      },
    });
    const output = join(dist, 'bundle');
    rmSync(output, { recursive: true, force: true });
    await build.write({ dir: output, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' });
    await build.close();
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await bundle();
