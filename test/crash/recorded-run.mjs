import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mergeSmallPacks, smallPacks } from '../../packages/core/dist/maintenance/gc/merge-small.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { makeSources, OPERATIONS, PREPARATION } from '../support/operations.mjs';
import { input } from '../support/say.mjs';
import { Trace } from './trace-file.mjs';

/*
 * Makes stores on a traced disk, and changes each by a program of operations. Says in the trace when it tries a change, and
 * when that is done. `runs`: of each the folder to work in, and the names of its operations; also `reopen`, `repair`, `gc`, `optimize` and `merge`.
 */
const module = new URL('./tracing-disk.mjs', import.meta.url).href;
for (const { dir, program } of input.runs) {
  const trace = new Trace(join(dir, 'trace'));
  const root = join(dir, 'disk');
  const sources = join(dir, 'sources');
  mkdirSync(root, { recursive: true });
  makeSources(sources);
  const storeDir = join(root, 'store');
  const disk = { durable: true, module, options: { root, trace: trace.folder, index: join(storeDir, 'index', 'data.mdb') } };
  const open = () => openStoreOn(disk, storeDir, { workers: 2 });
  const attempt = async (change, work) => {
    trace.add({ op: 'try', change });
    await work();
    trace.add({ op: 'done', change });
  };
  let store = await open();
  for (const [at, { run }] of PREPARATION.entries()) await attempt({ preparation: at }, () => run(store));
  for (const [i, name] of program.entries()) {
    if (name === 'reopen' || name === 'repair') {
      await store.close();
      if (name === 'repair') await attempt({ repair: true }, () => repairStoreOn(disk, storeDir, {}));
      store = await open();
      continue;
    }
    if (name === 'gc' || name === 'optimize') {
      await attempt({ gc: true }, () => store[name]());
      continue;
    }
    if (name === 'merge') {
      await attempt({ gc: true }, async () => mergeSmallPacks(store.engine, await smallPacks(store.engine)));
      continue;
    }
    const { before, run } = OPERATIONS[name];
    if (before !== undefined) await attempt({ name, i, part: 'before' }, () => before(store, i));
    await attempt({ name, i, part: 'run' }, () => run(store, i, sources));
  }
  await store.close();
}
