import fs from 'node:fs';
import type { LocalSource } from '../ingest/ingest.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { sameEntry } from '../manifest/entry.js';
import { IGNORE_FILE, type IgnoreRules } from '../volume/ignore-rules.js';
import { readIgnoreFile } from '../volume/local-files.js';
import { ancestorsOf, joinPath, normalizePath } from '../volume/paths.js';
import { lstat } from './lstat.js';
import { type FolderPlaces, RESERVED_NAME } from './places.js';
import type { FolderChange, Window } from './seen-tree.js';
import { sameStamp, type StatCache, type Stamp, stampOf } from './stat-cache.js';

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
  cache: StatCache;
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
 * edit; files that may differ become candidates.
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
  private looked = 0;

  constructor(parts: ScanParts) {
    this.parts = parts;
  }

  /** Looks at everything. */
  async all(): Promise<void> {
    await this.below('', true);
  }

  /** Looks at the paths of some changes only, and at what decides whether these can be made: costs by the changes. */
  async changed(changes: readonly FolderChange[]): Promise<void> {
    for (const change of changes) {
      if (this.isCoveredAbove(change.path) || this.covered.has(change.path)) continue;
      await this.rest();
      const before = this.seenAt(change.path);
      const stat = this.stat(change.path);
      const keepsFolder = before?.type === 'directory' && change.after?.type === 'directory';
      if (stat?.isDirectory() === true && keepsFolder) continue;
      await this.whole(change.path, before, stat);
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

  private async whole(path: string, before: Entry | undefined, stat: fs.BigIntStats | undefined): Promise<void> {
    this.covered.add(path);
    if (this.compare(path, before, stat)) await this.below(path, before?.type === 'directory');
  }

  private async below(top: string, inSeen: boolean): Promise<void> {
    const waiting = [{ folder: top, inSeen, above: this.rulesAbove(top) }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { folder } = next;
      const seen = next.inSeen ? this.parts.window.children(this.parts.seen, folder) : new Map<string, Entry>();
      const names = this.names(folder, seen);
      if (names === undefined) continue;
      const rules = this.rulesWithin(folder, next.above, names.includes(IGNORE_FILE));
      for (const name of names) {
        await this.rest();
        const path = joinPath(folder, name);
        const before = seen.get(name);
        seen.delete(name);
        const stat = this.stat(path);
        if (rules.ignores(path, stat?.isDirectory() === true)) continue;
        if (this.compare(path, before, stat)) waiting.push({ folder: path, inSeen: before?.type === 'directory', above: rules });
      }
      for (const [name, before] of seen) {
        const path = joinPath(folder, name);
        if (!rules.ignores(path, before.type === 'directory')) this.compare(path, before, undefined);
      }
    }
  }

  /** Notes how one path differs; true for a folder, which is to be looked into. */
  private compare(path: string, before: Entry | undefined, stat: fs.BigIntStats | undefined): boolean {
    if (stat?.isDirectory() === true) {
      if (before?.type !== 'directory') this.edits.set(path, { type: 'directory', mtimeNs: stat.mtimeNs });
      return true;
    }
    if (before?.type === 'directory') for (const [below] of this.parts.window.walk(this.parts.seen, path)) this.edits.set(below, null);
    if (stat === undefined) {
      if (before !== undefined) this.edits.set(path, null);
    } else if (stat.isSymbolicLink()) {
      const entry = this.link(path, stat);
      if (!sameEntry(before, entry)) this.edits.set(path, entry ?? null);
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

  /** The storable names in a folder, sorted; undefined when it cannot be listed. What the tree has is storable: no need to look at each again. */
  private names(folder: string, seen: ReadonlyMap<string, Entry>): string[] | undefined {
    try {
      const local = this.parts.places.local(folder);
      const found = fs.readdirSync(local);
      const isStrange = (name: string): boolean => !seen.has(name) || name.includes(REPLACEMENT);
      return (found.some(isStrange) ? this.storable(folder, fs.readdirSync(local, { encoding: 'buffer' })) : found).sort();
    } catch {
      this.skipped.push(folder);
      return undefined;
    }
  }

  /** Of names read as bytes: one that is no UTF-8 would be taken for another one. */
  private storable(folder: string, found: readonly Buffer[]): string[] {
    const names: string[] = [];
    for (const bytes of found) {
      const name = bytes.toString('utf8');
      if (name === RESERVED_NAME) continue;
      if (Buffer.from(name, 'utf8').equals(bytes) && isStorable(joinPath(folder, name))) names.push(name);
      else this.skipped.push(joinPath(folder, name));
    }
    return names;
  }

  /** The rules that hold for what is in the folders above a path. */
  private rulesAbove(path: string): IgnoreRules {
    if (path === '') return this.parts.rules;
    return ['', ...ancestorsOf(path)].reduce((above, folder) => this.rulesWithin(folder, above, true), this.parts.rules);
  }

  private rulesWithin(folder: string, above: IgnoreRules, mayHaveFile: boolean): IgnoreRules {
    const file = joinPath(folder, IGNORE_FILE);
    if (!mayHaveFile || this.stat(file)?.isFile() !== true) return above;
    return above.within(folder, readIgnoreFile(this.parts.places.local(file)));
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

function isStorable(path: string): boolean {
  try {
    return normalizePath(path) === path;
  } catch {
    return false;
  }
}
