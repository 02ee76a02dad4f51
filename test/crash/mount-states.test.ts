import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual as isEqual } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { decodeState, encodeState } from '../../packages/core/dist/mount/state.js';
import { folder as filesOf, headOf, temporaries } from '../mount/support.js';
import { Child } from '../support/children.js';
import { type State, stateOf } from '../support/operations.mjs';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { type CrashState, crashStates } from './crash-states.js';
import { Materializer, openDirectly } from './crashed-store.js';
import { readTrace } from './trace.js';

const IS_LONG = Number(process.env['CAIRN_SOAK_STATES'] ?? 0) > 2000;
/** Each state is mounted, committed and reloaded, which takes a while: one of so many, by chance, is. */
const ONE_OF = IS_LONG ? 1 : 4;
/** What the user of the folder writes to, and what anybody writes: see the recorded run. */
const EDITED = /^(a|local|new\/\d+)$/;
const WRITTEN = /^((mine|new|local|theirs) \d+|[abcx])$/;
const hasher = createHasher('auto');

describe('a power cut while a folder is mounted, committed and reloaded', () => {
  test('loses no edit, and makes none up: the next commit has what users wrote, and nothing torn or old; what was acknowledged is there', async () => {
    const random = randomFrom(testSeed('mount states'));
    const dir = tempDir();
    await Child.start('../crash/recorded-mount.mjs', { dir, rounds: IS_LONG ? 4 : 1 }).succeeds();
    const trace = readTrace(join(dir, 'trace'));
    const materializer = new Materializer();
    onTestFinished(() => materializer.clear());
    const found = new Map<string, State>();
    const first = trace.entries.findIndex((entry) => entry.op === 'mkdir' && entry.path.startsWith('folder/'));
    for (const state of crashStates(trace, { perMoment: IS_LONG ? 32 : 3, tears: 0, random }, first)) {
      if (random(ONE_OF) > 0) continue;
      const holds = found.get(state.digest) ?? (await check(materializer, state));
      found.set(state.digest, holds);
      expect(state.allowed, `a crash ${state.context}`).toContainEqual(holds);
    }
    console.log(`${found.size} distinct crash states of a mount`);
    expect(found.size).toBeGreaterThan(50);
  }, 3_600_000);
});

/** What the store held, after the folder was mounted again and all its promises were looked at. */
async function check(materializer: Materializer, state: CrashState): Promise<State> {
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
  const { id } = JSON.parse(readFileSync(join(dir, '.cairn-mount', 'id'), 'utf8')) as { id: string };
  const path = join(mounts, id, 'state');
  if (!existsSync(path)) return;
  const { dev, ino } = lstatSync(dir, { bigint: true });
  const state = decodeState(readFileSync(path), id, hasher);
  for (const name of readdirSync(join(mounts, id))) if (name.startsWith('stat-cache-')) rmSync(join(mounts, id, name));
  rmSync(path);
  writeFileSync(path, encodeState({ ...state, dir, device: String(dev), inode: String(ino), bootId: 'another boot' }, hasher));
}
