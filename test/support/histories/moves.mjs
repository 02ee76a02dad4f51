import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isCairnError } from '@cairn/core';
import { mergeSmallPacks, smallPacks } from '../../../packages/core/dist/maintenance/gc/merge-small.js';
import { say } from '../say.mjs';
import { contentOf, filesOf, now } from './inspection.mjs';

/** How often each move is made, of their sum. */
const WEIGHTS = {
  edit: 4,
  commit: 6,
  reload: 2,
  look: 4,
  hold: 1,
  relook: 2,
  upload: 1,
  large: 0.15,
  tag: 1,
  untag: 0.4,
  prune: 0.4,
  gc: 0.2,
  optimize: 0.1,
  merge: 0.3,
};
const MAX_HELD = 3;
/** Bytes from which on a content that was read once is known. */
const LARGE = 100_000;

/**
 * Who makes random moves on a volume. What it does to files on one handle is kept as steps, which go into the metadata of the commit:
 * ['at', generation] | ['reload', generation] | ['write', path, text] | ['remove', path]; from them anybody can work out what came of it.
 */
export class Actor {
  constructor(store, { name, volume, seed, moves, weights = WEIGHTS, local, pauseMs = 0, seconds = Infinity }) {
    Object.assign(this, { store, name, volumeName: volume, moves, local, pauseMs, until: performance.now() + seconds * 1000 });
    this.state = seed >>> 0 || 1;
    this.plan = Object.entries(weights);
    this.total = this.plan.reduce((sum, [, weight]) => sum + weight, 0);
    this.made = 0;
    this.held = [];
    this.read = new Map();
    this.uploads = 0;
  }

  async play() {
    await this.open();
    for (let i = 0; i < this.moves && performance.now() < this.until; i++) {
      await this[this.choose()]();
      if (this.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.random(this.pauseMs)));
    }
    for (const snapshot of this.held) await snapshot.close();
    await this.reader?.close();
    await this.handle.close();
  }

  /** A handle at the head, without changes of its own. */
  async open() {
    this.handle = await this.store.volumes.fromName(this.volumeName);
    this.steps = [['at', this.handle.base?.generation ?? 0]];
    this.changes = 0;
  }

  /** Tells of a move before and after it; undefined when it failed by an error that a user could meet. */
  async attempt(move, told, action) {
    const n = ++this.made;
    say('try', { n, move, at: now(), ...told });
    try {
      const result = await action();
      say('done', { n, move, at: now(), ...result });
      return result;
    } catch (error) {
      if (!isCairnError(error)) throw error;
      say('failed', { n, move, at: now(), code: error.code, why: `${error.message} (${error.cause ?? ''})` });
      return undefined;
    }
  }

  // ---- changes of the handle

  async edit() {
    const text = `${this.name} ${this.made} ${this.changes}`;
    switch (this.random(8)) {
      case 0:
      case 1:
        return this.write(`shared/${this.random(4)}`, text);
      case 2:
        await this.write('pair/left', text);
        return this.write('pair/right', text);
      case 3:
        return this.write(`deep/${this.random(3)}/${this.random(3)}`, this.sized(40_000));
      case 4:
        return this.remove([`shared/${this.random(4)}`, 'deep', 'deep/0', 'shared'][this.random(4)]);
      case 5:
        // A file for one and a folder for another.
        await this.remove('mixed');
        return this.write(this.random(2) === 0 ? 'mixed' : 'mixed/inside', text);
      default:
        return this.write(`own/${this.name}/${this.random(4)}`, this.sized(3000));
    }
  }

  async write(path, text) {
    await this.handle.writeFile(path, contentOf(text));
    this.steps.push(['write', path, text]);
    this.changes++;
  }

  async remove(path) {
    if (!(await this.handle.exists(path))) return;
    await this.handle.remove(path, { recursive: true });
    this.steps.push(['remove', path]);
    this.changes++;
  }

  // ---- moves that others can notice

  async commit() {
    while (this.changes === 0) await this.edit();
    const steps = JSON.stringify(this.steps);
    const message = `${this.name} ${this.made + 1}`;
    const done = await this.attempt('commit', { message, steps }, async () => {
      const { snapshot, changed } = await this.handle.commit({ message, metadata: { steps } });
      return { id: snapshot.id, generation: snapshot.generation, changed };
    });
    if (done === undefined) return this.open();
    this.steps = [['at', done.generation]];
    this.changes = 0;
  }

  /** A file that goes to the worker threads, then a commit. */
  async large() {
    const text = this.sized(4_300_000, 4_250_000);
    const path = `large/${this.random(2)}`;
    await this.handle.writeFile(path, inParts(contentOf(text)));
    this.steps.push(['write', path, text]);
    this.changes++;
    return this.commit();
  }

  /** A folder and some bytes as one batch, which is a commit of its own. */
  async upload() {
    const remote = `uploaded/${this.name}`;
    const steps = [];
    rmSync(this.local, { recursive: true, force: true });
    for (let i = 0, count = 1 + this.random(6); i < count; i++) {
      const text = i === 0 ? this.sized(300_000) : this.sized(20_000);
      const path = join(this.local, `${i % 2}`, `${i}`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, contentOf(text));
      steps.push(['write', `${remote}/${i % 2}/${i}`, text]);
    }
    const text = `${this.name} upload ${this.uploads++}`;
    const shared = `shared/${this.random(4)}`;
    steps.push(['write', shared, text]);
    const message = `${this.name} ${this.made + 1}`;
    const volume = await this.store.volumes.fromName(this.volumeName);
    await this.attempt('commit', { message, steps: JSON.stringify(steps) }, async () => {
      const edit = async (batch) => {
        await batch.putDirectory(this.local, remote);
        await batch.putFile({ data: text }, shared);
      };
      const { snapshot, changed } = await volume.batchUpload(edit, { message, metadata: { steps: JSON.stringify(steps) }, force: true });
      return { id: snapshot.id, generation: snapshot.generation, changed };
    });
    await volume.close();
  }

  async reload() {
    const done = await this.attempt('reload', {}, async () => {
      await this.handle.reload();
      return seen(this.handle);
    });
    if (done === undefined) return this.open();
    this.steps.push(['reload', done.generation]);
  }

  /** Everything at the head, by a handle that was there before, or a new one. */
  async look() {
    await this.attempt('look', {}, async () => {
      if (this.reader === undefined || this.random(3) === 0) {
        await this.reader?.close();
        this.reader = await this.store.volumes.fromName(this.volumeName);
      } else await this.reader.reload();
      return { ...seen(this.reader), files: await this.files(this.reader) };
    });
  }

  /** Keeps the head open, to look at it again later. */
  async hold() {
    if (this.held.length === MAX_HELD) await this.held.shift().close();
    await this.attempt('hold', {}, async () => {
      const volume = await this.store.volumes.fromName(this.volumeName);
      if (volume.base === null) return {};
      const snapshot = await volume.snapshot(volume.base.id);
      await volume.close();
      this.held.push(snapshot);
      return seen({ base: snapshot.info });
    });
  }

  async relook() {
    if (this.held.length === 0) return;
    const snapshot = this.held[this.random(this.held.length)];
    await this.attempt('relook', {}, async () => ({ ...seen({ base: snapshot.info }), files: await this.files(snapshot) }));
  }

  async tag() {
    if (this.handle.base === null) return;
    const tag = this.random(3) === 0 ? 'everybodys' : `${this.name}-${this.random(2)}`;
    const { id } = this.handle.base;
    await this.attempt('tag', { tag, id }, async () => void (await this.handle.tag(tag, id, { force: true })));
  }

  async untag() {
    const tag = `${this.name}-${this.random(2)}`;
    await this.attempt('tag', { tag, id: null }, async () => void (await this.handle.untag(tag)));
  }

  async prune() {
    const keepLast = 3 + this.random(12);
    await this.attempt('prune', { keepLast }, async () => {
      const { removed } = await this.handle.prune({ keepLast });
      return { removed: removed.map(({ id, generation, message }) => ({ id, generation, message })) };
    });
  }

  files(view) {
    return filesOf(view, this.read, LARGE);
  }

  gc() {
    return this.collect('gc', async () => {
      const { freed, waiting } = await this.store.gc();
      return { freed, waiting };
    });
  }

  optimize() {
    return this.collect('optimize', async () => {
      const { storedBefore, storedAfter } = await this.store.optimize();
      return { freed: storedBefore - storedAfter };
    });
  }

  async collect(move, action) {
    await this.attempt(move, {}, async () => {
      try {
        return await action();
      } catch (error) {
        // The others did it all.
        if (isCairnError(error, 'CAIRN_GC_BUSY')) return { freed: 0 };
        throw error;
      }
    });
  }

  /** What is done behind commits once there are many packs. */
  async merge() {
    const { engine } = this.store;
    await this.attempt('merge', {}, () =>
      engine.collecting.run(async () => ({ merged: await mergeSmallPacks(engine, await smallPacks(engine)) })),
    );
  }

  // ---- chance

  choose() {
    let at = (this.random(1 << 20) / (1 << 20)) * this.total;
    return this.plan.find(([, weight]) => (at -= weight) < 0)?.[0] ?? this.plan[0][0];
  }

  /** Contents of up to so many bytes that nobody else has. */
  sized(most, least = 1) {
    return `noise:${least + this.random(most - least)}:${this.random(2 ** 31)}`;
  }

  /** Whole numbers below `limit`: xorshift32 of the seed. */
  random(limit) {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    this.state >>>= 0;
    return this.state % limit;
  }
}

function seen({ base }) {
  return base === null ? { generation: 0, id: null } : { generation: base.generation, id: base.id };
}

async function* inParts(bytes) {
  for (let at = 0; at < bytes.length; at += 500_000) yield bytes.subarray(at, at + 500_000);
}
