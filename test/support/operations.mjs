import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * What a store can be asked to change, as data: each operation says how to carry it out, and what a store's state is
 * afterwards, in the plain form that `stateOf` gives. Each is one change: it has happened as a whole, or not at all.
 */
const MAIN = 'main';

/** Makes the store that the operations work on, and the local files that they upload. */
export async function prepare(store, sources) {
  makeSources(sources);
  for (const { run } of PREPARATION) await run(store);
}

/** The local files that operations upload. */
export function makeSources(sources) {
  mkdirSync(sources);
  for (let i = 0; i < 70; i++) writeFileSync(join(sources, `file-${i}`), bytes(100 * i, 100 + i));
}

const EMPTY = { history: [], tags: {}, files: {} };

/** The changes that make, of a new store, the one that the operations work on. */
export const PREPARATION = [
  { run: (store) => store.volumes.create(MAIN), apply: (state) => void (state[MAIN] = structuredClone(EMPTY)) },
  {
    run: async (store) => {
      const main = await store.volumes.fromName(MAIN);
      await main.writeFile('first', 'the first file');
      await main.symlink('first', 'link');
      await main.commit({ message: 'first' });
    },
    apply: (state) => committed(state[MAIN], 'first', { first: digest('the first file'), link: '-> first' }),
  },
  {
    run: async (store) => (await store.volumes.fromName(MAIN)).tag('start'),
    apply: (state) => void (state[MAIN].tags['start'] = 'first'),
  },
  {
    run: async (store) => {
      const main = await store.volumes.fromName(MAIN);
      await main.writeFile('folder/second', bytes(200_000, 1));
      await main.commit({ message: 'second' });
    },
    apply: (state) => committed(state[MAIN], 'second', { folder: 'folder', 'folder/second': digest(bytes(200_000, 1)) }),
  },
  { run: (store) => store.volumes.create('origin'), apply: (state) => void (state['origin'] = structuredClone(EMPTY)) },
  {
    run: async (store) => {
      const origin = await store.volumes.fromName('origin');
      await origin.writeFile('file', 'to be forked');
      await origin.commit({ message: 'origin' });
    },
    apply: (state) => committed(state['origin'], 'origin', { file: digest('to be forked') }),
  },
  { run: (store) => store.volumes.create('renamed-0'), apply: (state) => void (state['renamed-0'] = structuredClone(EMPTY)) },
];

/** Digests of contents that were read before, by content id, of each open store. */
const READ = new WeakMap();

/**
 * Volumes by name: the messages of their snapshots, tags with the message of what they name, and the digests of the files at the head.
 * `read` holds digests by content id, for whoever knows otherwise that what was read once can be read again.
 */
export async function stateOf(store, read = READ.get(store) ?? new Map()) {
  const state = {};
  READ.set(store, read);
  const digestOf = async (volume, path, contentId) => {
    if (!read.has(contentId)) read.set(contentId, digest(await volume.readFile(path)));
    return read.get(contentId);
  };
  for (const { name } of await store.volumes.list()) {
    const volume = await store.volumes.fromName(name);
    const messages = {};
    const history = [];
    for await (const { id, message } of volume.history()) {
      messages[id] = message;
      history.unshift(message);
    }
    const tags = {};
    for (const { name: tag, snapshot } of await volume.tags()) tags[tag] = messages[snapshot];
    const files = {};
    for (const { path, type, symlinkTarget, contentId } of await volume.listdir('', { recursive: true })) {
      files[path] = type === 'file' ? await digestOf(volume, path, contentId) : type === 'symlink' ? `-> ${symlinkTarget}` : 'folder';
    }
    state[name] = { history, tags, files };
    await volume.close();
  }
  return state;
}

/**
 * Each: `run` carries the operation out, and `apply` changes a state as `run` should. Where it needs something that is not
 * there, `before` makes that, as a change of its own, which `applyBefore` knows. `i` is never the same twice for one store.
 */
export const OPERATIONS = {
  commit: {
    run: async (store, i) => {
      const volume = await store.volumes.fromName(MAIN);
      await volume.writeFile(`small/${i}`, bytes(20_000, i));
      await volume.commit({ message: `commit ${i}` });
    },
    apply: (state, i) => committed(state[MAIN], `commit ${i}`, { small: 'folder', [`small/${i}`]: digest(bytes(20_000, i)) }),
  },
  stream: {
    run: async (store, i) => {
      const volume = await store.volumes.fromName(MAIN);
      await volume.writeFile('streamed', streamed(i));
      await volume.commit({ message: `stream ${i}` });
    },
    apply: (state, i) => committed(state[MAIN], `stream ${i}`, { streamed: digest(streamed(i)) }),
  },
  upload: {
    run: async (store, i, sources) => {
      writeFileSync(join(sources, 'changing'), bytes(150_000, i));
      const volume = await store.volumes.fromName(MAIN);
      await volume.batchUpload((batch) => batch.putDirectory(sources, 'upload'), { message: `upload ${i}`, force: true });
    },
    apply: (state, i) => {
      const files = { upload: 'folder', 'upload/changing': digest(bytes(150_000, i)) };
      for (let n = 0; n < 70; n++) files[`upload/file-${n}`] = digest(bytes(100 * n, 100 + n));
      committed(state[MAIN], `upload ${i}`, files);
    },
  },
  spill: {
    run: async (store, i) => {
      const from = await store.volumes.fromName(MAIN);
      await from.writeFile('aside', bytes(30_000, i));
      const volume = await store.volumes.fromName(MAIN);
      // What one handle has in memory goes to a pack before another takes it over.
      await volume.copy('aside', 'copied', { from });
      await volume.commit({ message: `spill ${i}` });
    },
    apply: (state, i) => committed(state[MAIN], `spill ${i}`, { copied: digest(bytes(30_000, i)) }),
  },
  create: {
    run: (store, i) => store.volumes.create(`created-${i}`),
    apply: (state, i) => void (state[`created-${i}`] = structuredClone(EMPTY)),
  },
  fork: {
    run: (store, i) => store.volumes.fork('origin', `fork-${i}`),
    apply: (state, i) => void (state[`fork-${i}`] = { ...structuredClone(state.origin), tags: {} }),
  },
  rename: {
    run: async (store, i) => store.volumes.rename(await nameLike(store, 'renamed-'), `renamed-${i}`),
    apply: (state, i) => {
      const from = Object.keys(state).find((name) => name.startsWith('renamed-'));
      const volume = state[from];
      delete state[from];
      state[`renamed-${i}`] = volume;
    },
  },
  delete: {
    before: (store, i) => store.volumes.fork('origin', `doomed-${i}`),
    applyBefore: (state, i) => void (state[`doomed-${i}`] = { ...structuredClone(state.origin), tags: {} }),
    run: (store, i) => store.volumes.delete(`doomed-${i}`),
    apply: (state, i) => void delete state[`doomed-${i}`],
  },
  tag: {
    run: async (store, i) => (await store.volumes.fromName(MAIN)).tag(`tag-${i}`),
    apply: (state, i) => void (state[MAIN].tags[`tag-${i}`] = state[MAIN].history.at(-1)),
  },
  untag: {
    before: async (store, i) => (await store.volumes.fromName(MAIN)).tag(`gone-${i}`, 'start'),
    applyBefore: (state, i) => void (state[MAIN].tags[`gone-${i}`] = 'first'),
    run: async (store, i) => (await store.volumes.fromName(MAIN)).untag(`gone-${i}`),
    apply: (state, i) => void delete state[MAIN].tags[`gone-${i}`],
  },
  prune: {
    // Whatever was the head before is not any more.
    before: async (store, i) => {
      const volume = await store.volumes.fromName(MAIN);
      await volume.writeFile('newest', bytes(100, i));
      await volume.commit({ message: `newest ${i}` });
    },
    applyBefore: (state, i) => committed(state[MAIN], `newest ${i}`, { newest: digest(bytes(100, i)) }),
    run: async (store) => (await store.volumes.fromName(MAIN)).prune({ keepLast: 1 }),
    apply: ({ [MAIN]: volume }) => {
      const tagged = Object.values(volume.tags);
      volume.history = volume.history.filter((message, at) => at === volume.history.length - 1 || tagged.includes(message));
    },
  },
};

/** The state after an operation, or after what makes it possible. */
export function after(state, name, i, part = 'run') {
  const next = structuredClone(state);
  const { apply, applyBefore } = OPERATIONS[name];
  (part === 'run' ? apply : applyBefore)?.(next, i);
  return next;
}

function committed(volume, message, files) {
  volume.history.push(message);
  Object.assign(volume.files, files);
}

async function nameLike(store, start) {
  const volumes = await store.volumes.list();
  return volumes.find(({ name }) => name.startsWith(start)).name;
}

/** Large enough for the workers; all but its beginning is always the same. */
function streamed(i) {
  const data = Buffer.from(STREAMED);
  bytes(150_000, i).copy(data);
  return data;
}

function digest(data) {
  return createHash('sha256').update(data).digest('hex').slice(0, 16);
}

/** Bytes without structure, the same for the same seed. */
function bytes(length, seed) {
  const data = Buffer.alloc(length);
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[at] = state;
  }
  return data;
}

const STREAMED = bytes(4_300_000, 7);
