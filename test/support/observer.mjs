import { openStore } from '@cairn/core';
import { input, say, untilStopped } from './say.mjs';

/* Follows a volume until it is stopped, and says `saw` for each new head: its generation, and everything in it. */
const store = await openStore(input.dir, { workers: 1, readOnly: true });
const volume = await store.volumes.fromName(input.volume);
const state = untilStopped();
say('ready');
let last;
while (state.running) {
  await volume.reload();
  if (volume.base === null || volume.base.id === last) {
    await new Promise((resolve) => setTimeout(resolve, 3));
    continue;
  }
  last = volume.base.id;
  const files = {};
  for (const entry of await volume.listdir('', { recursive: true })) {
    files[entry.path] = entry.type === 'file' ? await volume.readFile(entry.path, 'utf8') : null;
  }
  say('saw', { generation: volume.base.generation, id: last, files });
}
await store.close();
