import fs from 'node:fs';
import type { LocalSource } from '../ingest/ingest.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { sameEntry } from '../manifest/entry.js';
import { isSettled, sameStamp, type Stamp, stampOf } from '../stamps/stamp.js';
import { IGNORE_FILE, type IgnoreRules } from '../volume/ignore-rules.js';
import { readIgnoreFile } from '../volume/local-files.js';
import { ancestorsOf, isNormalPath, joinPath, parentOf } from '../volume/paths.js';
import type { TaskRunner } from '../workers/pool.js';
import { type Differences, compareWithFolder } from './compare-folder.js';
import { lstat } from './lstat.js';
import { type FolderPlaces, RESERVED_NAME } from './places.js';
import type { FolderChange, Window } from './seen-tree.js';
import type { StatCache } from './stat-cache.js';

/** A file whose bytes are not known: `path` is local, `name` the path in the mount. */
export interface Candidate extends LocalSource {
  readonly name: string;
  readonly stamp: Stamp;
  readonly before: Entry | undefined;
}

export interface ScanParts {
  window: Window;
  /** The tree that the folder held. */
  seen: ManifestRoot;
  places: FolderPlaces;
  /** Of that tree. */
  cache: StatCache;
  workers: TaskRunner;
  /** Of the folder's root; ignore files in it say more. Paths that belong to nobody: what the tree has there stays. */
  rules: IgnoreRules;
  signal?: AbortSignal | undefined;
}

/** What the system's bytes that are no UTF-8 become in a string. */
const REPLACEMENT = '\ufffd';

/** Entries looked at between two turns of the event loop. */
const ENTRIES_PER_TURN = 512;

/**
 * Compares the folder with the tree that it held, by what the system says of each file; reads none. What differs becomes an
 * edit; files that may differ become candidates. Costs the calling thread what differs: the rest is compared with the stat cache,
 * by several threads where it is much.
 */
export class Scan {
  readonly edits = new Map<string, Entry | null>();
  readonly candidates: Candidate[] = [];
  /** Devices, sockets, pipes; names that cannot be stored; folders that cannot be read. What the tree has there is not touched by the last two. */
  readonly skipped: string[] = [];
  private readonly parts: ScanParts;
  /** Paths that were looked at with all that is below them. */
  private readonly covered = new Set<string>();
  /** Folders on both sides. */
  private readonly folders = new Set<string>(['']);
  /** Folders of the tree that are not looked into: no folder any more, ignored, or not to be read. */
  private readonly closed = new Set<string>();
  /** For what is in a folder. */
  private readonly rules = new Map<string, IgnoreRules>();
  private looked = 0;

  constructor(parts: ScanParts) {
    this.parts = parts;
  }

  /** Looks at everything. */
  async all(): Promise<void> {
    await this.known('');
  }

  /** Looks at the paths of some changes only, and at what decides whether these can be made: costs by the changes. */
  async changed(changes: readonly FolderChange[]): Promise<void> {
    // What is found to be as the tree says has to be noted: a file of which nothing is known is not replaced.
    if (!this.parts.cache.isKnown) await this.learnTree();
    for (const change of changes) {
      if (this.isCoveredAbove(change.path) || this.covered.has(change.path)) continue;
      await this.rest();
      const before = this.seenAt(change.path);
      const stat = this.stat(change.path);
      const keepsFolder = before?.type === 'directory' && change.after?.type === 'directory';
      if (stat?.isDirectory() === true && keepsFolder) continue;
      this.covered.add(change.path);
      if (this.compare(change.path, before, stat)) await this.below(change.path, before);
    }
  }

  /** Forgets a candidate that cannot be stored now: the tree keeps what it has there. */
  leaveOut({ name, before }: Candidate): void {
    if (before?.type !== 'directory') return;
    for (const path of this.edits.keys()) if (path.startsWith(`${name}/`)) this.edits.delete(path);
  }

  /** Whether something above a path already decided about it: no folder is there on one of the sides. */
  private isCoveredAbove(path: string): boolean {
    for (const folder of ancestorsOf(path)) {
      if (this.covered.has(folder)) return true;
      if (this.folders.has(folder)) continue;
      const before = this.seenAt(folder);
      const stat = this.stat(folder);
      if (stat?.isDirectory() !== true) {
        this.compare(folder, before, stat);
        this.covered.add(folder);
        return true;
      }
      if (before?.type !== 'directory') return false;
      this.folders.add(folder);
    }
    return false;
  }

  /** What is in a folder that is there now. */
  private below(folder: string, before: Entry | undefined): Promise<void> {
    return before?.type === 'directory' ? this.known(folder) : this.fresh(folder);
  }

  /** Looks into a folder of the tree, and into all that the tree has below it. */
  private async known(top: string): Promise<void> {
    const { cache, places, workers, signal } = this.parts;
    if (!cache.isKnown) await this.learnTree();
    const folders = [...cache.foldersBelow(top)];
    const differences = await compareWithFolder({ cache, dir: places.dir, workers, signal }, folders);
    // Folders before those in them.
    for (const folder of [...differences.keys()].sort()) await this.differs(folder, differences.get(folder)!);
  }

  /** Has the stat cache know what the tree has, and of none of it how it looks. */
  private async learnTree(): Promise<void> {
    const { cache, window, seen } = this.parts;
    cache.begin();
    try {
      for (const [path, after] of window.walk(seen, '')) {
        await this.rest();
        cache.follow([{ path, after }]);
      }
    } catch (error) {
      // What is not known to be in the tree would never be found missing.
      cache.forget();
      throw error;
    }
  }

  private async differs(folder: string, { changed, added, isClosed }: Differences): Promise<void> {
    const rules = this.rulesIn(folder);
    if (rules === undefined) return;
    if (isClosed) return this.close(folder);
    // What a cache says may come from a stranger's store.
    const names = changed.filter((name) => isNormalPath(joinPath(folder, name)));
    for (const name of [...names, ...this.storable(folder, added)].sort()) {
      await this.rest();
      const path = joinPath(folder, name);
      const before = this.seenAt(path);
      const found = this.visit(path, before, rules);
      if (found === 'closed') return this.close(folder);
      if (found === 'folder' && before?.type !== 'directory') await this.fresh(path);
    }
  }

  /** Looks into a folder that the tree has not got. */
  private async fresh(top: string): Promise<void> {
    const waiting = [top];
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      const rules = this.rulesIn(folder);
      if (rules === undefined) continue;
      for (const name of this.names(folder)) {
        await this.rest();
        const path = joinPath(folder, name);
        const found = this.visit(path, undefined, rules);
        if (found === 'folder') waiting.push(path);
        else if (found === 'closed') {
          this.close(folder);
          break;
        }
      }
    }
  }

  /** Compares a path, unless it is ignored. 'closed': nothing can be said of what is in its folder. */
  private visit(path: string, before: Entry | undefined, rules: IgnoreRules): 'folder' | 'closed' | undefined {
    let stat: fs.BigIntStats | undefined;
    try {
      stat = this.stat(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return 'closed';
      throw error;
    }
    const isFolder = stat === undefined ? before?.type === 'directory' : stat.isDirectory();
    if (rules.ignores(path, isFolder)) return undefined;
    return this.compare(path, before, stat) ? 'folder' : undefined;
  }

  /** Notes how one path differs; true for a folder, which is to be looked into. */
  private compare(path: string, before: Entry | undefined, stat: fs.BigIntStats | undefined): boolean {
    if (stat?.isDirectory() === true) {
      if (before?.type !== 'directory') this.edits.set(path, { type: 'directory', mtimeNs: stat.mtimeNs });
      return true;
    }
    if (before?.type === 'directory') {
      this.closed.add(path);
      for (const [below] of this.parts.window.walk(this.parts.seen, path)) this.edits.set(below, null);
    }
    if (stat === undefined) {
      if (before !== undefined) this.edits.set(path, null);
    } else if (stat.isSymbolicLink()) {
      this.compareLink(path, before);
    } else if (stat.isFile()) {
      const stamp = stampOf(stat);
      if (before?.type === 'file' && sameStamp(this.parts.cache.get(path), stamp)) return false;
      this.candidates.push({ path: this.parts.places.local(path), name: path, stamp, before, stat: { size: stamp.size } });
    } else {
      this.skipped.push(path);
      if (before !== undefined) this.edits.set(path, null);
    }
    return false;
  }

  private compareLink(path: string, before: Entry | undefined): void {
    const nowMs = Date.now();
    const stat = this.stat(path);
    const entry = stat && this.link(path, stat);
    if (!sameEntry(before, entry)) this.edits.set(path, entry ?? null);
    else if (stat !== undefined && isSettled(stampOf(stat), nowMs)) this.parts.cache.set(path, stampOf(stat));
  }

  private link(path: string, stat: fs.BigIntStats): Entry | undefined {
    try {
      return { type: 'symlink', target: fs.readlinkSync(this.parts.places.local(path)), mtimeNs: stat.mtimeNs };
    } catch {
      // Gone, or no link any more: the next scan sees what it has become.
      return undefined;
    }
  }

  /** Synchronous, as all of the scan: an asynchronous call takes ten times as long as what it waits for. */
  private stat(path: string): fs.BigIntStats | undefined {
    return lstat(this.parts.places.local(path));
  }

  /** The storable names in a folder, sorted; none when it cannot be listed. */
  private names(folder: string): string[] {
    try {
      return this.storable(folder, fs.readdirSync(this.parts.places.local(folder))).sort();
    } catch {
      this.close(folder);
      return [];
    }
  }

  /** Of names that the tree has not got. One whose bytes are no UTF-8 would be taken for another one. */
  private storable(folder: string, names: readonly string[]): string[] {
    const isStorable = (name: string): boolean => {
      if (name === RESERVED_NAME) return false;
      if (isNormalPath(joinPath(folder, name))) return true;
      this.skipped.push(joinPath(folder, name));
      return false;
    };
    const whole = names.filter((name) => !name.includes(REPLACEMENT));
    if (whole.length < names.length) {
      const listed = fs.readdirSync(this.parts.places.local(folder), { encoding: 'buffer' });
      for (const bytes of listed) {
        const name = bytes.toString('utf8');
        if (!name.includes(REPLACEMENT)) continue;
        if (Buffer.from(name, 'utf8').equals(bytes)) whole.push(name);
        else this.skipped.push(joinPath(folder, name));
      }
    }
    return whole.filter(isStorable);
  }

  /** A folder that cannot be looked into keeps what the tree has there, and is named; one that just went is for the next scan. */
  private close(folder: string): void {
    this.closed.add(folder);
    if (this.stat(folder)?.isDirectory() === true) this.skipped.push(folder);
  }

  /** The rules for what is in a folder; undefined for one that is not looked into. */
  private rulesIn(folder: string): IgnoreRules | undefined {
    if (this.closed.has(folder)) return undefined;
    const known = this.rules.get(folder);
    if (known !== undefined) return known;
    const above = folder === '' ? this.parts.rules : this.rulesIn(parentOf(folder));
    if (above === undefined || (folder !== '' && above.ignores(folder, true))) {
      this.closed.add(folder);
      return undefined;
    }
    const rules = this.rulesWithin(folder, above);
    this.rules.set(folder, rules);
    return rules;
  }

  private rulesWithin(folder: string, above: IgnoreRules): IgnoreRules {
    const local = this.parts.places.local(joinPath(folder, IGNORE_FILE));
    try {
      return lstat(local)?.isFile() === true ? above.within(folder, readIgnoreFile(local)) : above;
    } catch (error) {
      // That the folder cannot be looked into shows by what is in it.
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return above;
      throw error;
    }
  }

  private seenAt(path: string): Entry | undefined {
    return this.parts.window.get(this.parts.seen, path);
  }

  private async rest(): Promise<void> {
    if (++this.looked % ENTRIES_PER_TURN !== 0) return;
    await new Promise(setImmediate);
    this.parts.signal?.throwIfAborted();
  }
}
