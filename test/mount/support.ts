import { lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openStore, type Mount, type MountOptions, type Store, type Volume } from '@cairn/core';
import { onTestFinished } from 'vitest';
import { writeAll } from '../contract/support.js';
import { tempDir } from '../support/temp-dir.js';

/** What is in a folder: files with their text, symlinks as `-> target`, empty folders as `/`; without the mount's own files. */
export function folder(dir: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (path: string): void => {
    const names = readdirSync(join(dir, path)).filter((name) => name !== '.cairn-mount');
    if (names.length === 0 && path !== '') found[path] = '/';
    for (const name of names.sort()) {
      const child = path === '' ? name : `${path}/${name}`;
      const stat = lstatSync(join(dir, child));
      if (stat.isDirectory()) visit(child);
      else if (stat.isSymbolicLink()) found[child] = `-> ${readlinkSync(join(dir, child))}`;
      else if (stat.isFile()) found[child] = readFileSync(join(dir, child), 'utf8');
    }
  };
  visit('');
  return found;
}

/** Puts files into a folder as any program would; null removes, `/` makes a folder, `-> x` a symlink. */
export function edit(dir: string, changes: Record<string, string | null>): void {
  for (const [path, text] of Object.entries(changes)) {
    const local = join(dir, path);
    if (text === null) rmSync(local, { recursive: true });
    else if (text === '/') mkdirSync(local, { recursive: true });
    else {
      mkdirSync(dirname(local), { recursive: true });
      if (text.startsWith('-> ')) symlinkSync(text.slice(3), local);
      else writeFileSync(local, text);
    }
  }
}

/** The temporary files that a mount has left in its folder. */
export function temporaries(dir: string): string[] {
  return readdirSync(join(dir, '.cairn-mount'), { recursive: true, encoding: 'utf8' }).filter((name) => name !== 'id');
}

export interface Rig {
  readonly dir: string;
  readonly store: Store;
  /** A handle on the volume that is mounted. */
  readonly v: Volume;
  path(...names: string[]): string;
  /** Mounts what the volume holds now. */
  mount(name: string, options?: MountOptions): Promise<Mount>;
  /** Commits as somebody else. */
  commit(files: Record<string, string | null>): Promise<void>;
  /** What the newest version holds. */
  head(): Promise<Record<string, string>>;
}

/** A store with a volume that holds `files`, in a folder of the test's own. */
export async function rig(files: Record<string, string> = {}): Promise<Rig> {
  const dir = tempDir();
  const store = await openStore(join(dir, 'store'), { workers: 2 });
  onTestFinished(() => store.close());
  const v = await store.volumes.fromName('v', { createIfMissing: true });
  await writeAll(v, files);
  if (Object.keys(files).length > 0) await v.commit();
  return {
    dir,
    store,
    v,
    path: (...names) => join(dir, ...names),
    mount: async (name, options) => (await store.volumes.fromName('v')).mount(join(dir, name), options),
    commit: async (changes) => {
      const other = await store.volumes.fromName('v');
      for (const [path, text] of Object.entries(changes)) {
        if (text === null) await other.remove(path, { recursive: true });
        else if (text === '/') await other.mkdir(path);
        else {
          if ((await other.exists(path)) && (await other.stat(path)).type === 'directory') await other.remove(path, { recursive: true });
          await other.writeFile(path, text);
        }
      }
      await other.commit();
    },
    head: async () => headOf(await store.volumes.fromName('v')),
  };
}

export async function headOf(volume: Volume): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const entries = await volume.listdir('', { recursive: true });
  const parents = new Set(entries.map(({ path }) => path.slice(0, Math.max(0, path.lastIndexOf('/')))));
  for (const { path, type, symlinkTarget } of entries) {
    if (type === 'file') found[path] = await volume.readFile(path, 'utf8');
    else if (type === 'symlink') found[path] = `-> ${symlinkTarget}`;
    else if (!parents.has(path)) found[path] = '/';
  }
  return found;
}
