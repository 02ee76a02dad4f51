import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { makeFolders, removeTree } from '../disk/trees.js';
import { FileExistsError, wrapIoError } from '../errors.js';
import type { Entry } from '../manifest/entry.js';
import type { RestoreItem } from '../reading/data-reader.js';
import type { Progress, Work } from '../types.js';
import type { Engine } from './engine.js';
import { FoldingNames, foldsNames } from './folding-names.js';
import { LocalNames } from './local-names.js';
import type { Sight } from './read-view.js';
import { requireEntry } from './read-view.js';

type FileEntryOf = Extract<Entry, { type: 'file' }>;

/**
 * Writes a file, symlink or whole folder of a view to the local disk. Everything is written aside first and moved into
 * place when it is whole: what fails, or is called off, leaves nothing.
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
  const { disk } = engine;
  const existing = lstat(destination);
  if (existing !== undefined && (options.force !== true || existing.isDirectory())) throw new FileExistsError(destination);
  makeFolders(disk, dirname(destination));
  const temporary = join(dirname(destination), `.cairn-${randomUUID()}`);
  try {
    if (entry.type === 'symlink') disk.symlink(entry.target, temporary);
    else await engine.data.restoreFiles([restoreItem(entry, temporary)], { ...options, nodes: sight.nodes, verify: engine.verifyReads });
    // A link refuses an existing name where a rename would replace it: without force nobody's file is lost to a race.
    if (options.force === true) disk.rename(temporary, destination);
    else if (entry.type === 'symlink') disk.symlink(entry.target, destination);
    else disk.link(temporary, destination);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new FileExistsError(destination);
    throw error;
  } finally {
    clearAway(engine, temporary);
  }
}

async function copyFolder(
  engine: Engine,
  sight: Sight,
  path: string,
  destination: string,
  options: Work & { force?: boolean },
): Promise<void> {
  const { disk } = engine;
  const existing = lstat(destination);
  if (existing !== undefined && !existing.isDirectory()) throw new FileExistsError(destination);
  if (existing !== undefined && options.force !== true) refuseExisting(sight, path, destination);
  // Aside, but in the same file system: a folder that is there may be a mount point.
  const parent = existing === undefined ? dirname(destination) : destination;
  makeFolders(disk, parent);
  const aside = join(parent, `.cairn-${randomUUID()}`);
  try {
    disk.makeFolder(aside);
    await materialize(engine, sight, path, aside, options);
    if (existing === undefined) disk.rename(aside, destination);
    else moveInto(disk, aside, destination, options.force === true);
  } finally {
    clearAway(engine, aside);
  }
}

/** Writes a folder's tree into an empty folder. Symlinks are made last, so that no file is ever written through one. */
async function materialize(engine: Engine, sight: Sight, path: string, aside: string, options: Work): Promise<void> {
  const links: [string, string][] = [];
  const paths = new LocalNames((at) => sight.tree.get(at));
  const names = new FoldingNames(foldsNames(engine.disk, aside));
  let folders: string[] = [];
  let files: RestoreItem[] = [];
  const done = { bytes: 0, files: 0 };
  const flush = async (): Promise<void> => {
    await inTurns(folders, (folder) => engine.disk.makeFolder(folder));
    const before = { ...done };
    const onProgress = (p: Progress): void => {
      [done.bytes, done.files] = [before.bytes + p.bytes, before.files + p.files];
      options.onProgress?.({ phase: p.phase, ...done, newBytes: 0 });
    };
    await engine.data.restoreFiles(files, { signal: options.signal, onProgress, nodes: sight.nodes, verify: engine.verifyReads });
    [folders, files] = [[], []];
  };
  for (const [child, entry] of sight.tree.walk(path)) {
    paths.check(child);
    names.claim(child);
    const local = localPathOf(path, child, aside);
    if (entry.type === 'directory') folders.push(local);
    else if (entry.type === 'symlink') links.push([entry.target, local]);
    else files.push(restoreItem(entry, local));
    if (folders.length + files.length >= ENTRIES_PER_BATCH) await flush();
  }
  await flush();
  await inTurns(links, ([target, local]) => engine.disk.symlink(target, local));
}

/** Synchronous calls, for the sake of their speed, and now and then the rest of the program. */
async function inTurns<T>(items: readonly T[], action: (item: T) => void): Promise<void> {
  for (const [i, item] of items.entries()) {
    action(item);
    if (i % CALLS_PER_TURN === CALLS_PER_TURN - 1) await new Promise(setImmediate);
  }
}

/** What went wrong before matters more than that this cannot be removed, and a copy that is in its place is whole. */
function clearAway({ disk, diagnostics }: Engine, aside: string): void {
  try {
    removeTree(disk, aside);
  } catch (error) {
    diagnostics.log('warn', `'${aside}' is left over, and can be removed: ${(error as Error).message}`);
  }
}

/** Moves what is in one folder into another one, whole subtrees at a time where nothing is in their way. */
function moveInto(disk: Disk, from: string, to: string, force: boolean): void {
  for (const name of fs.readdirSync(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    const there = lstat(target);
    const folderMoves = fs.lstatSync(source).isDirectory();
    if (there === undefined) disk.rename(source, target);
    else if (there.isDirectory() && folderMoves) moveInto(disk, source, target, force);
    // A symlink in place of a folder would lead outside.
    else if (there.isDirectory() || folderMoves || !force) throw new FileExistsError(target);
    else disk.rename(source, target);
  }
}

/** Before anything is written: a half-done copy over somebody's files would be hard to tell from a whole one. */
function refuseExisting(sight: Sight, path: string, destination: string): void {
  if (fs.readdirSync(destination).length === 0) return;
  for (const [child, entry] of sight.tree.walk(path)) {
    const local = localPathOf(path, child, destination);
    if (entry.type !== 'directory' && lstat(local) !== undefined) throw new FileExistsError(local);
  }
}

function localPathOf(path: string, child: string, destination: string): string {
  return join(destination, path === '' ? child : child.slice(path.length + 1));
}

/** Entries that are made at once; bounds memory in folders of millions. */
const ENTRIES_PER_BATCH = 16_384;
const CALLS_PER_TURN = 512;

function restoreItem(entry: FileEntryOf, path: string): RestoreItem {
  return { content: entry.content, path, executable: entry.executable, mtimeNs: entry.mtimeNs };
}

function lstat(path: string): fs.Stats | undefined {
  return fs.lstatSync(path, { throwIfNoEntry: false });
}
