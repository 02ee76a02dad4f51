import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { stateOf } from '../support/operations.mjs';
import { input } from '../support/say.mjs';
import { Trace } from './trace-file.mjs';

/*
 * Works with a mounted folder on a traced disk: files are edited, committed and reloaded while others commit to the volume. Says in
 * the trace what each step came to. `steps`: of each how often it is done, one after the other.
 */
const module = new URL('./tracing-disk.mjs', import.meta.url).href;
const { dir } = input;
const trace = new Trace(join(dir, 'trace'));
const root = join(dir, 'disk');
const storeDir = join(root, 'store');
const folder = join(root, 'folder');
mkdirSync(root);
const options = { root, trace: trace.folder, index: join(storeDir, 'index', 'data.mdb') };
const store = await openStoreOn({ durable: true, module, options }, storeDir, { workers: 1 });
let steps = 0;
const step = async (work) => {
  const change = { step: steps++ };
  trace.add({ op: 'try', change });
  await work();
  trace.add({ op: 'done', change, state: await stateOf(store) });
};
const edit = (path, text) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
  const { mtimeNs } = statSync(join(folder, path), { bigint: true });
  trace.add({ op: 'edit', path: `folder/${path}`, text, mtimeNs: String(mtimeNs) });
};
const commit = (volume, message, files) =>
  step(async () => {
    for (const [path, text] of Object.entries(files)) await volume.writeFile(path, text);
    await volume.commit({ message });
  });

await step(() => store.volumes.create('v'));
const theirs = await store.volumes.fromName('v');
await commit(theirs, 'first', { a: 'a', b: 'b', 'd/c': 'c' });
let mount;
await step(async () => (mount = await (await store.volumes.fromName('v')).mount(folder)));
for (let round = 1; round <= input.rounds; round++) {
  edit('a', `mine ${round}`);
  edit(`new/${round}`, `new ${round}`);
  await step(() => mount.commit({ message: `mine ${round}` }));
  await theirs.reload();
  await commit(theirs, `theirs ${round}`, { b: `theirs ${round}`, [`d/${round}`]: 'x', a: `theirs ${round}` });
  edit('local', `local ${round}`);
  await step(() => mount.reload());
}
await step(() => mount.close());
await store.close();
