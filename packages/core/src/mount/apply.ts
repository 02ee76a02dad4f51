import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Disk } from '../disk/disk.js';
import { removeTree } from '../disk/trees.js';
import { wrapIoError } from '../errors.js';
import { TICK_MS } from '../ingest/source.js';
import { contentEquals } from '../content/content-ref.js';
import type { Entry, FileNode } from '../manifest/entry.js';
import type { NodeSource } from '../objects/node-store.js';
import type { RestoreItem } from '../reading/data-reader.js';
import type { Progress, Work } from '../types.js';
import type { Engine } from '../volume/engine.js';
import { FoldingNames, foldsNames } from '../volume/folding-names.js';
import { Asides } from './asides.js';
import { syncNames } from './durable-names.js';
import { lstat } from './lstat.js';
import type { FolderPlaces } from './places.js';
import { RealFolders } from './real-folders.js';
import type { FolderChange } from './seen-tree.js';
import { isSettled, sameData, sameStamp, type Stamp, stampOf } from '../stamps/stamp.js';
import type { StatCache } from './stat-cache.js';
import type { WriteBits } from './write-bits.js';

export interface ApplyParts {
  engine: Engine;
  disk: Disk;
  places: FolderPlaces;
  nodes: NodeSource;
  /** What is known of the files that are to be replaced: one that looks otherwise is somebody's edit. Gets what is made. */
  cache: StatCache;
  writeBits: WriteBits;
}

export interface Applied {
  updated: number;
  /** Paths that somebody had edited, or put something in the way of, between the plan and now: left as they are. */
  kept: string[];
  /** How the files that were made look, once every later edit shows; undefined where that is not known. */
  stamps: Map<string, Stamp | undefined>;
}

/** Files made before they are moved into place together. */
const FILES_PER_BATCH = 4096;

/**
 * Brings changes into the folder. Every file is made whole under a temporary name and moved in by link or rename; the one that
 * it replaces is held aside until it is certain that nobody wrote to it meanwhile, and comes back otherwise. Cut short anywhere,
 * it can be planned and done again.
 */
export async function applyChanges(parts: ApplyParts, changes: readonly FolderChange[], work: Work): Promise<Applied> {
  return new Application(parts, work).run(changes);
}

class Application {
  private readonly parts: ApplyParts;
  private readonly work: Work;
  private readonly asides: Asides;
  private readonly kept = new Set<string>();
  /** How each file looked when it was made. */
  private readonly made = new Map<string, Stamp>();
  private readonly done = { bytes: 0, files: 0 };
  private updated = 0;
  private temporaries = 0;
  private folders: RealFolders;

  constructor(parts: ApplyParts, work: Work) {
    this.parts = parts;
    this.work = work;
    this.asides = new Asides(parts.places, parts.disk, parts.cache);
    this.folders = new RealFolders(parts.places);
  }

  async run(changes: readonly FolderChange[]): Promise<Applied> {
    if (changes.length === 0) return { updated: 0, kept: [], stamps: new Map() };
    const { places, disk, writeBits } = this.parts;
    disk.mkdir(places.incoming);
    try {
      this.refuseFoldedNames(changes);
      this.remove(changes);
      // Some are gone, and none that comes now is looked at before it is made.
      this.folders = new RealFolders(places);
      for (const { path, before, after } of changes) if (isFolder(after) && !isFolder(before)) this.makeFolder(path);
      await this.makeFiles(changes);
      for (const { path, before, after } of changes) if (after?.type === 'symlink') this.makeLink(path, after.target, before);
    } finally {
      this.asides.recover();
      writeBits.restore();
      clearTemporaries(disk, places);
    }
    const placedMs = Date.now();
    syncNames(disk, places, changes);
    return { updated: this.updated, kept: [...this.kept].sort(), stamps: await this.stamps(placedMs) };
  }

  /** What is no file any more, then folders from the inside out: one that somebody put something into stays. */
  private remove(changes: readonly FolderChange[]): void {
    const taken: string[] = [];
    for (const { path, before, after } of changes) {
      if (!isLeaf(before) || isLeaf(after)) continue;
      if (!this.folders.hold(path)) {
        this.kept.add(path);
        continue;
      }
      this.parts.writeBits.allow(dirname(this.local(path)));
      if (this.isAsKnown(path, before) && attempt(() => this.asides.take(path), 'ENOENT')) taken.push(path);
      else this.kept.add(path);
    }
    this.updated += taken.length;
    this.release(taken);
    for (const path of taken) this.parts.cache.delete(path);
    for (const { path, before, after } of [...changes].reverse()) {
      if (!isFolder(before) || isFolder(after) || !this.folders.hold(path)) continue;
      this.parts.writeBits.allow(dirname(this.local(path)));
      if (!attempt(() => this.parts.disk.removeFolder(this.local(path)), 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR') && after !== undefined)
        this.kept.add(path);
    }
  }

  private makeFolder(path: string): void {
    if (!this.folders.hold(path)) return void this.kept.add(path);
    this.parts.writeBits.allow(dirname(this.local(path)));
    if (attempt(() => this.parts.disk.makeFolder(this.local(path)), 'EEXIST', 'ENOENT', 'ENOTDIR'))
      this.parts.writeBits.made(this.local(path));
    else if (fs.lstatSync(this.local(path), { throwIfNoEntry: false })?.isDirectory() !== true) this.kept.add(path);
  }

  private async makeFiles(changes: readonly FolderChange[]): Promise<void> {
    const files = changes.filter((change): change is FolderChange & { after: FileNode } => change.after?.type === 'file');
    const totalBytes = files.reduce((sum, { after }) => sum + after.content.length, 0);
    for (let from = 0; from < files.length; from += FILES_PER_BATCH) {
      this.work.signal?.throwIfAborted();
      await this.makeBatch(files.slice(from, from + FILES_PER_BATCH), totalBytes);
    }
  }

  private async makeBatch(files: (FolderChange & { after: FileNode })[], totalBytes: number): Promise<void> {
    const { engine, nodes, writeBits } = this.parts;
    const made: { change: FolderChange & { after: FileNode }; temporary: string }[] = [];
    const items: RestoreItem[] = [];
    for (const change of files) {
      const { path, before, after } = change;
      if (this.kept.has(path)) continue;
      if (before?.type === 'file' && contentEquals(before.content, after.content)) {
        this.setMode(path, before, after);
        continue;
      }
      const temporary = this.temporary();
      made.push({ change, temporary });
      items.push({ content: after.content, path: temporary, executable: after.executable, mtimeNs: after.mtimeNs });
    }
    const start = { ...this.done };
    const onProgress = ({ bytes, files: count }: Progress): void => {
      [this.done.bytes, this.done.files] = [start.bytes + bytes, start.files + count];
      this.work.onProgress?.({ phase: 'restoring', ...this.done, totalBytes, newBytes: 0 });
    };
    await engine.data.restoreFiles(items, { signal: this.work.signal, onProgress, nodes, verify: engine.verifyReads });
    const replaced: string[] = [];
    for (const { change, temporary } of made) {
      const { path, before } = change;
      writeBits.made(temporary);
      const stamp = stampOf(fs.lstatSync(temporary, { bigint: true }));
      if (!(isLeaf(before) ? this.replace(path, before, temporary) : this.place(path, temporary))) {
        this.kept.add(path);
        continue;
      }
      this.made.set(path, stamp);
      if (isLeaf(before)) replaced.push(path);
      this.updated++;
    }
    this.release(replaced);
  }

  /** Moves a new file to a name that must be free: a rename would replace what somebody has just put there. */
  private place(path: string, temporary: string): boolean {
    if (!this.folders.hold(path)) return false;
    const { disk, writeBits } = this.parts;
    writeBits.allow(dirname(this.local(path)));
    if (!attempt(() => disk.link(temporary, this.local(path)), 'EEXIST', 'ENOENT', 'ENOTDIR')) return false;
    disk.unlink(temporary);
    return true;
  }

  private replace(path: string, before: Entry, temporary: string): boolean {
    if (!this.folders.hold(path)) return false;
    this.parts.writeBits.allow(dirname(this.local(path)));
    if (!this.isAsKnown(path, before) || !attempt(() => this.asides.hold(path), 'ENOENT')) return false;
    this.parts.disk.rename(temporary, this.local(path));
    return true;
  }

  /** Old files that were edited after all come back. */
  private release(paths: string[]): void {
    for (const path of this.asides.release(paths, this.made)) {
      this.made.delete(path);
      this.kept.add(path);
      this.updated--;
    }
  }

  private setMode(path: string, before: FileNode, after: FileNode): void {
    if (!this.folders.hold(path) || !this.isAsKnown(path, before)) {
      this.kept.add(path);
      return;
    }
    const stat = fs.lstatSync(this.local(path), { bigint: true });
    const mode = Number(stat.mode) & 0o777;
    this.parts.disk.chmod(this.local(path), after.executable ? mode | ((mode & 0o444) >> 2) : mode & ~0o111);
    this.made.set(path, stampOf(stat));
    this.updated++;
  }

  private makeLink(path: string, target: string, before: Entry | undefined): void {
    if (this.kept.has(path)) return;
    if (!this.folders.hold(path)) return void this.kept.add(path);
    this.parts.writeBits.allow(dirname(this.local(path)));
    if (!isLeaf(before)) {
      if (attempt(() => this.parts.disk.symlink(target, this.local(path)), 'EEXIST', 'ENOENT', 'ENOTDIR')) this.updated++;
      else this.kept.add(path);
      return;
    }
    const temporary = this.temporary();
    this.parts.disk.symlink(target, temporary);
    if (!this.replace(path, before, temporary)) {
      this.kept.add(path);
      return;
    }
    this.updated++;
    this.made.set(path, stampOf(fs.lstatSync(this.local(path), { bigint: true })));
    this.release([path]);
    this.made.delete(path);
    this.parts.cache.delete(path);
  }

  /** Whether a path is still what the plan saw there. */
  private isAsKnown(path: string, before: Entry): boolean {
    const stat = lstat(this.local(path));
    if (before.type === 'symlink') return stat?.isSymbolicLink() === true && fs.readlinkSync(this.local(path)) === before.target;
    const known = this.parts.cache.get(path);
    if (stat?.isFile() !== true || known === undefined) return false;
    // Setting a file aside moves the change time of all its names.
    return stat.nlink > 1n ? sameData(stampOf(stat), known) : sameStamp(stampOf(stat), known);
  }

  /** Taken once the clock has moved on since the last file was placed: from then on every edit shows. */
  private async stamps(placedMs: number): Promise<Map<string, Stamp | undefined>> {
    // One more, since the system's clock may be that much ahead of the whole milliseconds told here.
    const settledMs = placedMs + TICK_MS + 1;
    while (this.made.size > 0 && Date.now() >= placedMs && Date.now() <= settledMs) await sleep(settledMs + 1 - Date.now());
    const found = new Map<string, Stamp | undefined>();
    const nowMs = Date.now();
    for (const [path, made] of this.made) {
      const stat = lstat(this.local(path));
      const stamp = stat === undefined ? undefined : stampOf(stat);
      found.set(path, stamp !== undefined && sameData(stamp, made) && isSettled(stamp, nowMs) ? stamp : undefined);
    }
    return found;
  }

  private refuseFoldedNames(changes: readonly FolderChange[]): void {
    const names = new FoldingNames(foldsNames(this.parts.disk, this.parts.places.incoming));
    for (const { path, before, after } of changes) if (before === undefined && after !== undefined) names.claim(path);
  }

  private temporary(): string {
    return `${this.parts.places.incoming}/${this.temporaries++}`;
  }

  private local(path: string): string {
    return this.parts.places.local(path);
  }
}

/** Removes all that a mount has in its folder beside the folder's id. */
export function clearTemporaries(disk: Disk, places: FolderPlaces): void {
  for (const name of fs.readdirSync(places.reserved)) {
    if (join(places.reserved, name) !== places.idFile) removeTree(disk, join(places.reserved, name));
  }
}

/** False when the action fails with one of these codes, which mean that somebody changed the folder meanwhile. */
function attempt(action: () => void, ...expected: string[]): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (expected.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw wrapIoError(error, 'cannot bring a version into the folder');
  }
}

function isFolder(entry: Entry | undefined): boolean {
  return entry?.type === 'directory';
}

function isLeaf(entry: Entry | undefined): entry is Exclude<Entry, { type: 'directory' }> {
  return entry !== undefined && entry.type !== 'directory';
}
