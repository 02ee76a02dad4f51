import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/*
 * One writer among others. It commits a given number of times, some files of its own and some that all writers change, and
 * puts into each snapshot's metadata what it did and on which base, so that anybody can work out what should have come of it.
 * Says `try` before each commit and `done`, with the snapshot, after it.
 */
const { dir, volume: name, writer, firstStep, commits, seed } = input;
let state = seed >>> 0;

/** A number below `limit`: xorshift32 of the seed. */
function random(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

/** Makes one random change of a handle; returns what was done, one list per call: ['write', path, content] or ['remove', path]. */
async function change(volume, text) {
  const write = async (path) => (await volume.writeFile(path, text), ['write', path, text]);
  switch (random(8)) {
    case 0:
    case 1:
      return [await write(`shared/${random(4)}`)];
    case 2:
      return [await write('pair/left'), await write('pair/right')];
    case 3:
      return [await write(`deep/${random(3)}/${random(3)}`)];
    case 4:
      return removeIfThere(volume, `shared/${random(4)}`);
    case 5:
      return removeIfThere(volume, ['deep', 'deep/0', 'shared'][random(3)]);
    case 6:
      // A file for one writer and a folder for another.
      return [...(await removeIfThere(volume, 'mixed')), await write('mixed')];
    default:
      if ((await kindOf(volume, 'mixed')) === 'file') return [...(await removeIfThere(volume, 'mixed')), await write('mixed/inside')];
      return [await write('mixed/inside')];
  }
}

async function removeIfThere(volume, path) {
  if (!(await volume.exists(path))) return [];
  await volume.remove(path, { recursive: true });
  return [['remove', path]];
}

async function kindOf(volume, path) {
  return (await volume.exists(path)) ? (await volume.stat(path)).type : undefined;
}

const store = await openStore(dir, { workers: 1 });
const volume = await store.volumes.fromName(name);
for (let step = firstStep; step < firstStep + commits; step++) {
  if (random(3) === 0) await volume.reload();
  const base = volume.base?.generation ?? 0;
  const text = `${writer} ${step}`;
  const edits = [];
  edits.push(...(await change(volume, text)), ...(await change(volume, text)));
  await volume.writeFile(`own/${writer}`, text);
  edits.push(['write', `own/${writer}`, text]);
  say('try', { step });
  const { snapshot, changed } = await volume.commit({ message: text, metadata: { writer, step, base, edits: JSON.stringify(edits) } });
  say('done', { step, id: snapshot.id, generation: snapshot.generation, changed });
}
await volume.close();
await store.close();
