import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Contents as text that says what they are, so that a history can be kept, told and checked without the bytes:
 * `noise:LENGTH:SEED` is that many bytes without structure, anything else is itself.
 */
const NOISE = /^noise:(\d+):(\d+)$/;

/** The bytes that a text stands for. */
export function contentOf(text) {
  const noise = NOISE.exec(text);
  return noise === null ? Buffer.from(text) : noiseOf(Number(noise[1]), Number(noise[2]));
}

export function digestOf(bytes) {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function noiseOf(length, seed) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}

/** Everything in a view, by path: the digest of a file, `/` for a folder. `read` remembers contents of `least` bytes and more, which are read once. */
export async function filesOf(view, read = new Map(), least = 0) {
  const files = {};
  for (const { path, type, size, contentId } of await view.listdir('', { recursive: true })) {
    files[path] = type === 'file' ? (read.get(contentId) ?? digestOf(await view.readFile(path))) : '/';
    if (type === 'file' && size >= least) read.set(contentId, files[path]);
  }
  return files;
}

/** A volume to its last byte: what of its history is left, oldest first, with all files, and its tags. */
export async function inspect(store, name) {
  const volume = await store.volumes.fromName(name);
  const read = new Map();
  const versions = [];
  for await (const { id, parent, generation, message, metadata } of volume.history()) {
    const snapshot = await volume.snapshot(id);
    versions.unshift({ id, parent, generation, message, steps: metadata.steps, files: await filesOf(snapshot, read) });
    await snapshot.close();
  }
  const tags = {};
  for (const { name: tag, snapshot } of await volume.tags()) tags[tag] = snapshot;
  await volume.close();
  return { versions, tags };
}

/**
 * What the next process finds in a store whose users died: it makes a change, which settles what they left and shows that the store
 * works on, and looks at everything. `commit` is that change, as a move.
 */
export async function settle(store, name, message, readData) {
  const commit = await change(store, name, message);
  const inspection = await inspect(store, name);
  const { ok, damage } = await store.verify({ readData });
  const { dir } = store.info();
  return { commit, inspection, damage: ok ? [] : damage, left: leftovers(dir), leases: readdirSync(join(dir, 'leases')) };
}

async function change(store, name, message) {
  const volume = await store.volumes.fromName(name);
  const steps = JSON.stringify([
    ['at', volume.base?.generation ?? 0],
    ['write', 'judge', message],
  ]);
  const from = now();
  await volume.writeFile('judge', message);
  const { snapshot, changed } = await volume.commit({ message, metadata: { steps } });
  const { id, generation } = snapshot;
  await volume.close();
  return { actor: 'judge', move: 'commit', outcome: 'done', from, to: now(), message, steps, id, generation, changed };
}

/** What only an unfinished write needs. */
function leftovers(dir) {
  const incoming = readdirSync(join(dir, 'packs', 'incoming')).map((file) => `packs/incoming/${file}`);
  const temporary = readdirSync(join(dir, 'refs')).filter((file) => file.startsWith('.'));
  return [...incoming, ...temporary.map((file) => `refs/${file}`)];
}

/** Microseconds of the clock that all processes of a machine share. */
export const now = () => Number(process.hrtime.bigint() / 1000n);
