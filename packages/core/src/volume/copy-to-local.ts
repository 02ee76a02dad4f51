import { randomUUID } from 'node:crypto';
import { promises as fs } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AlreadyExistsError, FileExistsError, InvalidPathError, wrapIoError } from '../errors.js';
import type { Entry } from '../manifest/entry.js';
import type { Progress, Work } from '../types.js';
import type { Engine } from './engine.js';
import { normalizePath } from './paths.js';
import type { Sight } from './read-view.js';
import { requireEntry } from './read-view.js';

type FileEntryOf = Extract<Entry, { type: 'file' }>;

/**
 * Writes a file, symlink or whole folder of a view to the local disk. A file appears under its name only when it is
 * whole; a folder is filled where it stands. Symlinks are made last, so that no file is ever written through one.
 */
export async function copyToLocal(
  engine: Engine,
  sight: Sight,
  path: string,
  localPath: string,
  options: Work & { force?: boolean },
): Promise<void> {
  const destination = resolve(localPath);
  const entry: Entry = path === '' ? { type: 'directory', mtimeNs: 0n } : requireEntry(sight.tree, path);
  try {
    if (entry.type === 'directory') await copyFolder(engine, sight, path, destination, options);
    else await copyOne(engine, sight, entry, destination, options);
  } catch (error) {
    throw wrapIoError(error, `cannot write '${destination}'`);
  }
}

async function copyOne(
  engine: Engine,
  sight: Sight,
  entry: Exclude<Entry, { type: 'directory' }>,
  destination: string,
  options: Work & { force?: boolean },
): Promise<void> {
  const existing = await lstatOrUndefined(destination);
  if (existing !== undefined && (options.force !== true || existing.isDirectory())) throw new FileExistsError(destination);
  await fs.mkdir(dirname(destination), { recursive: true });
  const temporary = join(dirname(destination), `.cairn-${randomUUID()}`);
  try {
    if (entry.type === 'symlink') await fs.symlink(entry.target, temporary);
    else await engine.data.restoreFiles([restoreItem(entry, temporary)], { ...options, nodes: sight.nodes, verify: engine.verifyReads });
    // A link refuses an existing name where a rename would replace it: without force nobody's file is lost to a race.
    if (options.force === true) await fs.rename(temporary, destination);
    else if (entry.type === 'symlink') await fs.symlink(entry.target, destination);
    else await fs.link(temporary, destination);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new FileExistsError(destination);
    throw error;
  } finally {
    await fs.rm(temporary, { force: true });
  }
}

async function copyFolder(
  engine: Engine,
  sight: Sight,
  path: string,
  destination: string,
  options: Work & { force?: boolean },
): Promise<void> {
  const existing = await lstatOrUndefined(destination);
  if (existing !== undefined && !existing.isDirectory()) throw new FileExistsError(destination);
  if (existing !== undefined && options.force !== true) await refuseExisting(sight, path, destination);
  await fs.mkdir(destination, { recursive: true });
  const links: [string, string][] = [];
  const folders = new FoldingNames(await foldsNames(destination));
  function* files(): Generator<ReturnType<typeof restoreItem>> {
    for (const [child, entry] of sight.tree.walk(path)) {
      // A store can come from a stranger: its paths are checked again before they name anything on this disk.
      if (normalizePath(child) !== child) throw new InvalidPathError(child, 'it is not in its normal form');
      const local = localPathOf(path, child, destination);
      folders.claim(child);
      if (entry.type === 'directory') pendingFolders.push(local);
      else if (entry.type === 'symlink') links.push([entry.target, local]);
      else yield restoreItem(entry, local);
    }
  }
  const pendingFolders: string[] = [];
  let batch: ReturnType<typeof restoreItem>[] = [];
  const done = { bytes: 0, files: 0 };
  const flush = async (): Promise<void> => {
    for (const folder of pendingFolders.splice(0)) await makeFolder(folder);
    if (options.force === true) for (const item of batch) await fs.rm(item.path, { force: true });
    const before = { ...done };
    const onProgress = (p: Progress): void => {
      [done.bytes, done.files] = [before.bytes + p.bytes, before.files + p.files];
      options.onProgress?.({ phase: p.phase, ...done, newBytes: 0 });
    };
    await engine.data.restoreFiles(batch, { signal: options.signal, onProgress, nodes: sight.nodes, verify: engine.verifyReads });
    batch = [];
  };
  for (const item of files()) {
    batch.push(item);
    if (batch.length >= FILES_PER_BATCH) await flush();
  }
  await flush();
  for (const [target, local] of links) {
    if (options.force === true) await fs.rm(local, { force: true });
    await fs.symlink(target, local);
  }
}

/** Before anything is written: a half-done copy over somebody's files would be hard to tell from a whole one. */
async function refuseExisting(sight: Sight, path: string, destination: string): Promise<void> {
  if ((await fs.readdir(destination)).length === 0) return;
  for (const [child, entry] of sight.tree.walk(path)) {
    const local = localPathOf(path, child, destination);
    if (entry.type !== 'directory' && (await lstatOrUndefined(local)) !== undefined) throw new FileExistsError(local);
  }
}

function localPathOf(path: string, child: string, destination: string): string {
  return join(destination, path === '' ? child : child.slice(path.length + 1));
}

/** Files whose folders are made and which are then handed to the workers at once; bounds memory in folders of millions. */
const FILES_PER_BATCH = 16_384;

function restoreItem(
  entry: FileEntryOf,
  path: string,
): { content: FileEntryOf['content']; path: string; executable: boolean; mtimeNs: bigint } {
  return { content: entry.content, path, executable: entry.executable, mtimeNs: entry.mtimeNs };
}

/** A folder that is there is fine; a symlink in its place is not: it would lead outside. */
async function makeFolder(path: string): Promise<void> {
  try {
    await fs.mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await fs.lstat(path)).isDirectory()) {
      throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? new FileExistsError(path) : error;
    }
  }
}

async function lstatOrUndefined(path: string): Promise<Awaited<ReturnType<typeof fs.lstat>> | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether names that differ only in case or Unicode form are one name in this folder's file system. */
async function foldsNames(folder: string): Promise<boolean> {
  const name = `.cairn-${randomUUID()}-\u00e9`;
  await fs.writeFile(join(folder, name), '', { flag: 'wx', mode: 0o600 });
  try {
    const twins = [name.toUpperCase(), name.normalize('NFD')].map(
      async (twin) => (await lstatOrUndefined(join(folder, twin))) !== undefined,
    );
    return (await Promise.all(twins)).includes(true);
  } finally {
    await fs.rm(join(folder, name), { force: true });
  }
}

/** Refuses a second name that the target file system would take for one that was written already. */
class FoldingNames {
  private readonly seen: Map<string, string> | undefined;

  constructor(folds: boolean) {
    this.seen = folds ? new Map() : undefined;
  }

  claim(path: string): void {
    if (this.seen === undefined) return;
    const folded = path.normalize('NFC').toLowerCase();
    const other = this.seen.get(folded);
    if (other !== undefined) {
      throw new AlreadyExistsError('EEXIST', `'${path}' and '${other}' are one name on this file system`, {
        hint: 'write to a case-sensitive file system, or rename one of them in the volume',
      });
    }
    this.seen.set(folded, path);
  }
}
