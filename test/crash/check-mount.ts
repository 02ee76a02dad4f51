import { expect } from 'vitest';
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual as isEqual } from 'node:util';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { decodeState, encodeState } from '../../packages/core/dist/mount/state.js';
import { folder as filesOf, headOf, temporaries } from '../mount/support.js';
import { Child } from '../support/children.js';
import { type State, stateOf } from '../support/operations.mjs';
import { tempDir } from '../support/temp-dir.js';
import type { CrashState } from './crash-states.js';
import { type Materializer, openDirectly } from './crashed-store.js';
import { readTrace, type RecordedTrace } from './trace.js';

/** What the user of the folder writes to, and what anybody writes: see the recorded run. */
const EDITED = /^(a|local|new|new\/\d+)$/;
const WRITTEN = /^((mine|new|local|theirs) \d+|[abcx]|\/)$/;
const hasher = createHasher('auto');

/** A run in which a folder is mounted, edited, committed and reloaded, and where in it the folder is made. */
export async function recordMount(rounds: number): Promise<RecordedTrace & { from: number }> {
  const dir = tempDir();
  await Child.start('../crash/recorded-mount.mjs', { dir, rounds }).succeeds();
  const trace = readTrace(join(dir, 'trace'));
  return { ...trace, from: trace.entries.findIndex((entry) => entry.op === 'mkdir' && entry.path === 'folder') };
}

/** What the store held, after the folder was mounted again and all its promises were looked at. */
export async function checkMount(materializer: Materializer, state: CrashState): Promise<State> {
  const dir = materializer.make(state.listing);
  const folder = join(dir, 'folder');
  moveMounts(join(dir, 'store'), folder);
  const { engine, store } = await openDirectly(join(dir, 'store'));
  try {
    await engine.publisher.catchUp();
    engine.index.refresh();
    const holds = await stateOf(store);
    if (holds['v'] === undefined) return holds;
    const edits = [...editsIn(state)].filter(({ savedBy }) => !holds['v']!.history.includes(savedBy));
    const before = await headOf(await store.volumes.fromName('v'));
    const mount = await (await store.volumes.fromName('v')).mount(folder);
    const { busy } = await mount.commit({ message: 'after the crash' });
    expect(busy).toEqual([]);
    const volume = await store.volumes.fromName('v');
    const after = await headOf(volume);
    const changed = Object.keys({ ...before, ...after }).filter((path) => before[path] !== after[path]);
    expect(changed.filter((path) => !EDITED.test(path) || after[path] === undefined)).toEqual([]);
    expect(Object.values(after).filter((text) => !WRITTEN.test(text))).toEqual([]);
    // What was committed before does not come again over what others made of it.
    const isEdit = (path: string): boolean => edits.some((edit) => edit.path === path && edit.text === after[path]);
    expect(changed.filter((path) => !isEdit(path) && !(path === 'new' && after[path] === '/'))).toEqual([]);
    for (const { path, text } of edits) expect([path, await volume.readFile(path, 'utf8')]).toEqual([path, text]);
    await mount.reload();
    const shown = filesOf(folder);
    for (const [path, text] of Object.entries(shown))
      if (text !== '/') expect([path, await volume.readFile(path, 'utf8')]).toEqual([path, text]);
    expect(await mount.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 0 });
    await mount.close();
    expect(temporaries(folder)).toEqual([]);
    expect(await store.verify()).toMatchObject({ ok: true });
    const now = await stateOf(store);
    const history = now['v']!.history.filter((message) => message !== 'after the crash');
    expect(isEqual(history, holds['v'].history)).toBe(true);
    return holds;
  } catch (error) {
    throw new Error(`a crash ${state.context}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
  } finally {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Files that only a user can have written, as they lie in the folder, and the message of the commit that has them. */
function* editsIn({ listing }: CrashState): Generator<{ path: string; text: string; savedBy: string }> {
  for (const [at, content] of listing) {
    const path = /^folder\/(?!\.cairn-mount\/)(.*)$/.exec(at)?.[1];
    const text = content?.bytes.toString('utf8') ?? '';
    const [, kind, round] = /^(mine|new|local) (\d+)$/.exec(text) ?? [];
    if (path !== undefined && kind !== undefined) yield { path, text, savedBy: `mine ${Number(round) + (kind === 'local' ? 1 : 0)}` };
  }
}

/**
 * A mount knows its folder by inode and device; here it lies elsewhere, after another boot. How files looked is known by their inodes
 * too, and was never synced: it is lost.
 */
function moveMounts(store: string, dir: string): void {
  const mounts = join(store, 'mounts');
  if (!existsSync(dir) || !existsSync(join(dir, '.cairn-mount', 'id'))) return;
  const id = /"id":"([0-9a-f]{32})"/.exec(readFileSync(join(dir, '.cairn-mount', 'id'), 'utf8'))?.[1];
  if (id === undefined) return;
  const path = join(mounts, id, 'state');
  if (!existsSync(path)) return;
  const { dev, ino } = lstatSync(dir, { bigint: true });
  const state = decodeState(readFileSync(path), id, hasher);
  for (const name of readdirSync(join(mounts, id))) if (name.startsWith('stat-cache-')) rmSync(join(mounts, id, name));
  rmSync(path);
  writeFileSync(path, encodeState({ ...state, dir, device: String(dev), inode: String(ino), bootId: 'another boot' }, hasher));
}
