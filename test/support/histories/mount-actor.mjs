import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';
import { input, say } from '../say.mjs';
import { contentOf } from './inspection.mjs';
import { ACTOR_FILES, OTHERS_FILES, textOf } from './mount-files.mjs';

/*
 * Owns a mount whose folder a program fills with checkpoints, written aside and renamed, until it is killed. Commits go on in the
 * background; now and then one is asked for, or others' files are committed and brought in. Says `try` and `wrote` around each
 * file, `committed` for each version, and `asked`, `done` around each call. Files count up: `from` is where.
 */
const { store: dir, folder, volume: name, durable, faults, seed, from } = input;
const disk =
  faults === undefined
    ? { durable }
    : {
        ...{ durable, module: new URL('../faulty-disk.mjs', import.meta.url).href },
        options: { ...faults, counter: new SharedArrayBuffer(4) },
      };
let state = seed >>> 0 || 1;
function random(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

/** As a program does that cares: whole under another name, then renamed. Not always synced. */
function write(file, number) {
  const path = join(folder, file);
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.part`;
  const bytes = contentOf(textOf(file, number));
  say('try', { file, number });
  if (random(2) === 0) {
    const fd = openSync(temporary, 'w');
    writeSync(fd, bytes);
    fsyncSync(fd);
    closeSync(fd);
  } else writeFileSync(temporary, bytes);
  renameSync(temporary, path);
  say('wrote', { file, number });
}

const store = await openStoreOn(disk, dir, { workers: 1 });
const others = await store.volumes.fromName(name);
const mount = await (
  await store.volumes.fromName(name)
).mount(folder, { ignore: ['*.part'], backgroundCommit: { intervalMs: 20, settleMs: 0 } });
mount.on('commit', ({ snapshot }) => say('committed', { id: snapshot.id }));
mount.on('commitFailed', (error) => say('commitFailed', { code: error.code, why: error.message }));
say('mounted');
for (let number = from; ; number++) {
  write(ACTOR_FILES[random(ACTOR_FILES.length)], number);
  const chance = random(10);
  if (chance === 0) {
    say('asked', { call: 'commit' });
    const { snapshot, busy } = await mount.commit();
    say('done', { call: 'commit', id: snapshot.id, busy });
  } else if (chance === 1) {
    for (const file of OTHERS_FILES) {
      say('try', { file, number });
      if (random(3) > 0) await others.writeFile(file, contentOf(textOf(file, number)));
    }
    say('asked', { call: 'others' });
    const { snapshot } = await others.commit();
    say('committed', { id: snapshot.id });
    say('asked', { call: 'reload' });
    await mount.reload();
    say('done', { call: 'reload', id: snapshot.id });
  } else await new Promise((resolve) => setTimeout(resolve, random(8)));
}
