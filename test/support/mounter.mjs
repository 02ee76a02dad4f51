import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { input, say, untilStopped } from './say.mjs';

/*
 * Mounts a volume and works with the folder: does `actions` one after another, says each when it is done, then stays until it is
 * stopped with `stay`. `faults` make a disk that kills this process at one of its calls.
 */
const { store: dir, volume, folder, options, actions = [], faults, stay = false } = input;
const disk =
  faults === undefined
    ? { durable: true }
    : {
        durable: false,
        module: new URL('./faulty-disk.mjs', import.meta.url).href,
        options: { ...faults, counter: new SharedArrayBuffer(4) },
      };
const store = await openStoreOn(disk, dir, { workers: 1 });
const mount = await (await store.volumes.fromName(volume)).mount(folder, options);
say('mounted', { pid: process.pid });
mount.on('commit', ({ snapshot }) => say('committed', { id: snapshot.id }));
mount.on('commitFailed', (error) => say('commitFailed', { code: error.code }));
for (const [call, callOptions] of actions) {
  const { added, modified, removed, updated, conflicts } = await mount[call](callOptions);
  say('done', { call, added, modified, removed, updated, conflicts });
}
if (stay) {
  const running = untilStopped();
  while (running.running) await new Promise((resolve) => setTimeout(resolve, 10));
  await mount.close();
  say('closed');
}
await store.close();
