import { isCairnError, openStore } from '@cairn/core';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { input, say } from './say.mjs';

/*
 * Stores files while this process may open only so many more, from none on. `warm`: its threads run before that.
 * Says `tried` with the number and what came of it, until it works.
 */
const { dir, sources, warm } = input;
const store = await openStore(dir, { workers: 2 });
const volume = await store.volumes.fromName('v');
let number = 0;

/** Alters every part of every file, so that there is something to store. */
function change() {
  number++;
  for (const name of readdirSync(sources)) {
    const fd = openSync(join(sources, name), 'r+');
    for (let at = 0; at < 80_000; at += 8000) writeSync(fd, `version ${number} of ${name}`, at);
    closeSync(fd);
  }
}

async function upload() {
  await volume.batchUpload((batch) => batch.putDirectory(sources, 'files'), { force: true, message: `upload ${number}` });
}

/** Opens all that can be opened, but for `left`. */
function takeAll(left) {
  const taken = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (let i = 0; i < left; i++) closeSync(taken.pop());
  return taken;
}

const openFiles = () => readdirSync('/proc/self/fd').length;

if (warm) await upload();
const before = openFiles();
for (let left = 0; left < 100; left += warm ? 1 : 3) {
  change();
  const taken = takeAll(left);
  const failure = await upload().then(
    () => undefined,
    (error) => error,
  );
  for (const fd of taken) closeSync(fd);
  say('tried', {
    left,
    outcome: failure === undefined ? 'stored' : isCairnError(failure) ? failure.code : `${failure.stack}`,
    message: `${failure?.message} (${failure?.cause})`,
  });
  if (failure === undefined) break;
}
change();
await upload();
say('open', { before, after: openFiles() });
await store.close();
