import type { Dirent } from 'node:fs';
import { closeSync, lstatSync, readdir, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { reads } from '../disk/reads.js';
import { CairnError, FileNotFoundError, InvalidArgumentError, InvalidPathError, SourceChangedError, wrapIoError } from '../errors.js';
import type { SourceStat } from '../ingest/source.js';
import { isUnchanged, openSource, settledStat, sourceStat, statOf } from '../ingest/source.js';
import { IGNORE_FILE, IgnoreRules } from './ignore-rules.js';
import { joinPath, normalizePath } from './paths.js';

/** A local file, symlink or folder that is to be stored at `remotePath`. */
export interface LocalEntry {
  localPath: string;
  remotePath: string;
  type: 'file' | 'directory' | 'symlink';
  stat: { size: number };
  mtimeNs: bigint;
  target?: string;
}

const readdirAsync = promisify(readdir);

/** Local entries looked at between two turns of the event loop. */
const ENTRIES_PER_TURN = 512;
/** Every pattern costs time at every path. */
const MAX_IGNORE_FILE_BYTES = 1 << 20;
/** Attempts to read a small file that keeps changing. */
const READ_ATTEMPTS = 3;

/**
 * What was named by the caller: a symlink is followed here, though never below.
 * @throws FileNotFoundError; CairnError `EINVAL` on sockets, pipes and devices
 */
export function localEntry(local: string | URL, remotePath: string): LocalEntry {
  const localPath = local instanceof URL ? fileURLToPath(local) : local;
  const entry = entryAt(localPath, remotePath, statSync);
  if (entry === undefined) {
    throw new CairnError('EINVAL', `'${localPath}' is a socket, pipe or device`, {
      hint: 'only files, folders and symlinks are stored; a pipe can be read with { data: createReadStream(path) }',
    });
  }
  return entry;
}

/**
 * A local folder and all below it, a run of entries at a time, folders before what they hold, in the order of names.
 * Sockets, pipes and devices are passed over and told to `skipped`; what `patterns` or ignore files exclude is left out.
 */
export async function* localTree(
  localPath: string,
  remotePath: string,
  patterns: string[],
  skipped: (path: string) => void,
): AsyncGenerator<LocalEntry[]> {
  const root = localEntry(localPath, remotePath);
  if (root.type !== 'directory')
    throw new CairnError('ENOTDIR', `'${localPath}' is no folder`, { hint: 'use putFile() for a single file' });
  if (remotePath !== '') yield [root];
  const waiting: { local: string; inside: string; above: IgnoreRules }[] = [
    { local: localPath, inside: '', above: new IgnoreRules(patterns) },
  ];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const below: typeof waiting = [];
    let run: LocalEntry[] = [];
    const children = await readFolder(folder.local);
    const rules = children.some((child) => child.name === IGNORE_FILE && child.isFile())
      ? folder.above.within(folder.inside, readIgnoreFile(join(folder.local, IGNORE_FILE)))
      : folder.above;
    for (const child of children) {
      const inside = joinPath(folder.inside, child.name);
      if (rules.ignores(inside, child.isDirectory())) continue;
      const local = join(folder.local, child.name);
      const entry = entryAt(local, joinPath(remotePath, normalizePath(inside)), lstatSync);
      if (entry === undefined) {
        skipped(local);
        continue;
      }
      run.push(entry);
      if (entry.type === 'directory') below.push({ local, inside, above: rules });
      if (run.length === ENTRIES_PER_TURN) {
        yield run;
        run = [];
        await new Promise(setImmediate);
      }
    }
    yield run;
    waiting.push(...below.reverse());
  }
}

/** Reads a small file whole, and makes sure that it did not change meanwhile. @throws FileNotFoundError, SourceChangedError */
export async function readSmallFile(path: string): Promise<{ bytes: Uint8Array; stat: SourceStat }> {
  const fd = openSource(path);
  try {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const before = await settledStat(path, fd);
      const bytes = readFrom(path, fd, Number(before.size));
      if (isUnchanged(before, statOf(path, fd)) && bytes.byteLength === Number(before.size)) return { bytes, stat: sourceStat(before) };
    }
  } finally {
    closeSync(fd);
  }
  throw new SourceChangedError(path);
}

/** Up to `size` bytes; fewer when the file has shrunk. */
function readFrom(path: string, fd: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let done = 0;
  try {
    for (let count = -1; done < size && count !== 0; done += count) count = reads.readSync(fd, bytes, done, size - done, done);
  } catch (error) {
    throw localError(error, path);
  }
  return bytes.subarray(0, done);
}

/** Synchronous: an asynchronous call takes ten times as long as what it waits for, and folders may have a million files. */
function entryAt(localPath: string, remotePath: string, look: typeof lstatSync): LocalEntry | undefined {
  try {
    const stat = look(localPath, { bigint: true });
    const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : undefined;
    if (type === undefined) return undefined;
    return {
      localPath,
      remotePath,
      type,
      stat: { size: Number(stat.size) },
      mtimeNs: stat.mtimeNs,
      ...(type === 'symlink' ? { target: readlinkSync(localPath) } : {}),
    };
  } catch (error) {
    throw localError(error, localPath);
  }
}

/** Names are read as bytes: one that is no UTF-8 must not be stored under another name without a word. */
async function readFolder(path: string): Promise<{ name: string; isDirectory(): boolean; isFile(): boolean }[]> {
  let children: Dirent<Buffer>[];
  try {
    children = await readdirAsync(path, { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    throw localError(error, path);
  }
  const named = children.map((child) => {
    const name = child.name.toString('utf8');
    if (!Buffer.from(name, 'utf8').equals(child.name)) throw new InvalidPathError(join(path, name), 'its name is not UTF-8');
    return { name, isDirectory: () => child.isDirectory(), isFile: () => child.isFile() };
  });
  return named.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The text of an ignore file. @throws InvalidArgumentError when it is too large to be one */
export function readIgnoreFile(path: string): string {
  try {
    if (statSync(path).size <= MAX_IGNORE_FILE_BYTES) return readFileSync(path, 'utf8');
  } catch (error) {
    throw localError(error, path);
  }
  throw new InvalidArgumentError(
    `'${path}' is larger than ${MAX_IGNORE_FILE_BYTES} bytes`,
    'a file of that name holds patterns: shorten or rename it',
  );
}

function localError(error: unknown, path: string): unknown {
  if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new FileNotFoundError(path, 'no such local file or folder: check the path');
  }
  return wrapIoError(error, `cannot read '${path}'`);
}
