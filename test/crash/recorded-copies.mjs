import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { input } from '../support/say.mjs';
import { Trace } from './trace-file.mjs';

/*
 * Makes a volume with small files, many files and a large one, and brings them to a traced disk in every way that there is: copies of
 * files, links and folders, with and without something there already, and mounts, kept, for reading only, reloaded and removed.
 */
const { dir } = input;
const root = join(dir, 'disk');
const trace = new Trace(join(dir, 'trace'));
mkdirSync(root);
const store = join(root, 'store');
const module = new URL('./tracing-disk.mjs', import.meta.url).href;
const options = { root, trace: trace.folder, index: join(store, 'index', 'data.mdb') };
const opened = await openStoreOn({ durable: true, module, options }, store, { workers: 2 });
const volume = await opened.volumes.create('v').then(() => opened.volumes.fromName('v'));

for (let i = 0; i < 80; i++) await volume.writeFile(`many/${i % 8}/${i}`, `file ${i}`);
await volume.writeFile('large', Buffer.alloc(9 << 20, 'large '));
await volume.writeFile('empty', '');
await volume.symlink('large', 'link');
await volume.commit();

const at = (name) => join(root, 'user', name);
await volume.copyToLocal('', at('folder'));
await volume.copyToLocal('many', at('folder'), { force: true });
await volume.copyToLocal('many/1/1', at('new/file'));
await volume.copyToLocal('link', at('new/link'));
await volume.copyToLocal('many/2/2', at('new/file'), { force: true });
// Chunks that are in no pack yet are written by the main thread, into files that worker threads have made.
for (let i = 0; i < 70; i++) await volume.writeFile(`staged/${i}`, `staged ${i}`);
await volume.copyToLocal('staged', at('staged'));
await volume.commit();

const mount = await volume.mount(at('mount'));
const readOnly = await (await opened.volumes.fromName('v')).mount(at('read-only'), { readOnly: true });
await volume.writeFile('many/1/1', 'another');
await volume.remove('many/2', { recursive: true });
await volume.symlink('empty', 'large-too');
await volume.commit();
await mount.reload();
await readOnly.reload();
await mount.commit({ message: 'nothing' });
await mount.close();
await readOnly.close({ removeFiles: true });
await opened.close();
