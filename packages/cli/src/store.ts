import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { MountControl, ReadView, Snapshot, Store, StoreOptions, Volume } from '@cairn/core';
import type { Context } from './context.js';
import { CommandError } from './errors.js';
import type { Place } from './place.js';

const STORE_FOLDER = '.cairn';

/** Opens the store that this command is about, and closes it whatever happens. `create` makes one where none is found, at ./.cairn. */
export async function withStore<T>(context: Context, body: (store: Store) => Promise<T>, options: { create?: boolean } = {}): Promise<T> {
  const create = options.create === true;
  const dir = locateStore(context, options);
  const { openStore } = await import('@cairn/core');
  context.signal.throwIfAborted();
  const store = await openStore(dir, { create, logger: stderrLogger(context) });
  try {
    return await body(store);
  } finally {
    await store.close();
  }
}

/** As `withStore`, for commands about one volume. */
export async function withVolume<T>(context: Context, name: string, body: (volume: Volume) => Promise<T>): Promise<T> {
  return withStore(context, async (store) => body(await store.volumes.fromName(name)));
}

/** Works with a mounted folder, through the process that owns it or here. The folder knows its store; `--store` says where that is now. */
export async function withMount<T>(context: Context, dir: string, body: (mount: MountControl) => Promise<T>): Promise<T> {
  const { openMount } = await import('@cairn/core');
  context.signal.throwIfAborted();
  const mount = await openMount(dir, context.storeOption === undefined ? {} : { store: resolve(context.storeOption) });
  try {
    return await body(mount);
  } finally {
    await mount.close();
  }
}

/** What is to be read: the snapshot that a place names, or the volume as it is now. */
export async function openView(store: Store, place: Place): Promise<{ view: ReadView; id: string | null }> {
  const volume = await store.volumes.fromName(place.volume, { readOnly: true });
  if (place.ref === undefined) return { view: volume, id: volume.base?.id ?? null };
  const snapshot: Snapshot = await volume.snapshot(place.ref);
  return { view: snapshot, id: snapshot.info.id };
}

/** The folder of the store that this command is about: named, or the nearest upward; `create` allows one that is still to be made. */
export function locateStore(context: Context, { create = false }: { create?: boolean } = {}): string {
  const named = context.storeOption ?? process.env['CAIRN_STORE'];
  if (named !== undefined && named !== '') return resolve(named);
  const here = process.cwd();
  for (let folder = here; ; folder = dirname(folder)) {
    const candidate = join(folder, STORE_FOLDER);
    if (existsSync(candidate) && statSync(candidate).isDirectory()) return candidate;
    if (folder === dirname(folder)) break;
  }
  if (create) return join(here, STORE_FOLDER);
  throw new CommandError(
    'CAIRN_STORE_NOT_FOUND',
    `no store here: there is no ${STORE_FOLDER} in this folder or above it`,
    "'cairn volume create NAME' makes one at ./.cairn; --store DIR or CAIRN_STORE names one that is elsewhere",
  );
}

/** Warnings are for everybody: something was left out, or passed over. The rest is for `-v`. */
function stderrLogger(context: Context): NonNullable<StoreOptions['logger']> {
  const write = (...parts: unknown[]): void => void process.stderr.write(`cairn: ${parts.map(String).join(' ')}\n`);
  const drop = (): void => {};
  const [detail, warning] = [context.verbose ? write : drop, context.verbose || !(context.quiet || context.json) ? write : drop];
  return { debug: detail, info: detail, warn: warning, error: warning };
}
