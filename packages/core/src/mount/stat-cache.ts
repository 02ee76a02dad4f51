import type { Hasher } from '../hash/hasher.js';
import { type ManifestRoot, sameRoot } from '../manifest/entry.js';
import { encodePage, MIN_PAGE_BYTES, PageView, readPageHeader, type Row, type Rows } from '../stamps/page.js';
import { PageMemory } from '../stamps/page-memory.js';
import type { ComparedFolder } from '../stamps/comparison.js';
import type { Stamp } from '../stamps/stamp.js';
import type { Disk } from '../disk/disk.js';
import { MalformedError } from '../util/bytes.js';
import { baseName, isNormalPath, parentOf } from '../volume/paths.js';
import type { FolderChange } from './seen-tree.js';
import { StatFiles } from './stat-files.js';

/** A change of one file writes one page; a folder with more children has several. */
const PAGE_ROWS = 1024;
/** Rows taken out of their pages at once: each is some hundred bytes then. */
const MAX_OPEN_ROWS = 1 << 18;

/** Some children of a folder, by their names' hashes. */
interface Page {
  /** Where it begins in memory; undefined for one that never was there. */
  offset: number | undefined;
  /** Bytes in memory. */
  length: number;
  rowCount: number;
  /** Its rows, while they are worked with. */
  rows?: Rows;
  isChanged: boolean;
}

interface Folder {
  /** A power of two of them. */
  pages: Page[];
}

/**
 * What the tree `seen` has in each folder, and how each file and symlink looked when it was known to hold what the tree says. Either
 * it knows all folders of the tree, or none. Kept on disk by change. A stamp that is missing only costs a read.
 */
export class StatCache {
  private readonly files: StatFiles;
  private readonly folders = new Map<string, Folder>();
  /** Folders that are gone, and not yet on disk. */
  private readonly gone = new Set<string>();
  private memory = new PageMemory();
  /** What is in memory before here is on disk. */
  private savedTo = 0;
  /** Bytes of pages that were not replaced since. */
  private live = 0;
  /** Pages whose rows are taken out. */
  private readonly open = new Map<Page, { folder: string; index: number }>();
  private openRows = 0;
  /** Pages of the folders that are being read from disk. */
  private expected = 0;
  /** The tree that the files on disk are about, while they say the same as this; undefined: they do not. */
  private savedFor: ManifestRoot | undefined;

  /** What is known of a tree from `dir`; nothing when what is there is damaged, of another version, or about another tree. */
  static load(disk: Disk, dir: string, root: ManifestRoot, hasher: Hasher): StatCache {
    const cache = new StatCache(new StatFiles(disk, dir, hasher));
    const saved = cache.files.read(root);
    if (saved === undefined || !cache.takeIn(saved)) cache.forget();
    else cache.savedFor = root;
    if (root === null && !cache.isKnown) cache.begin();
    return cache;
  }

  private constructor(files: StatFiles) {
    this.files = files;
  }

  /** Whether it knows the tree's folders. */
  get isKnown(): boolean {
    return this.folders.has('');
  }

  /** Whether the files on disk have to be written, to be about this tree. */
  isChangedFor(root: ManifestRoot): boolean {
    return this.isKnown && (this.savedFor === undefined || !sameRoot(this.savedFor, root));
  }

  /** How a file or symlink looked when it held what the tree says. */
  get(path: string): Stamp | undefined {
    return this.row(path)?.stamp;
  }

  /** Notes how something that the tree has looks, by a stamp that was settled when it was taken. */
  set(path: string, { size, mtimeNs, ctimeNs, inode }: Stamp): void {
    // A copy of these fields alone: many are kept.
    this.setStamp(path, { size, mtimeNs, ctimeNs, inode });
  }

  /** Forgets how something looked. */
  delete(path: string): void {
    this.setStamp(path, undefined);
  }

  /** Begins with the empty tree. */
  begin(): void {
    this.forget();
    this.addFolder('');
  }

  /** Follows the tree to another one. What changes is not known to be in the folder. */
  follow(changes: Iterable<FolderChange>): void {
    if (!this.isKnown) return;
    for (const { path, before, after } of changes) {
      this.savedFor = undefined;
      if (before?.type === 'directory' && after?.type !== 'directory') this.removeFolder(path);
      if (after?.type === 'directory' && before?.type !== 'directory') this.addFolder(path);
      if (after === undefined) this.removeRow(path);
      else this.setRow(path, { kind: after.type, stamp: undefined });
    }
  }

  /** The folders of the tree at or below one of them. */
  *foldersBelow(top: string): Generator<string> {
    if (top === '') yield* this.folders.keys();
    else for (const folder of this.folders.keys()) if (folder === top || folder.startsWith(`${top}/`)) yield folder;
  }

  /** What a comparison of these folders takes. Valid until something changes here. */
  compared(folders: readonly string[]): { memory: SharedArrayBuffer; folders: ComparedFolder[] } {
    this.close();
    const compared = folders.map((name) => {
      const { pages } = this.folders.get(name)!;
      return { offsets: pages.map(({ offset }) => offset!), rows: pages.reduce((sum, { rowCount }) => sum + rowCount, 0) };
    });
    return { memory: this.memory.shared, folders: compared };
  }

  /** Writes what changed since it was saved last. @throws CairnError of the disk: repeated later, it writes the same and more */
  save(root: ManifestRoot): void {
    this.close();
    if (this.files.isWorthReplacing(this.live)) {
      this.compact();
      this.files.replace(root, this.memory.bytes);
    } else this.files.append(root, this.unsaved());
    this.savedTo = this.memory.used;
    this.gone.clear();
    this.savedFor = root;
  }

  private *unsaved(): Generator<Uint8Array> {
    for (const folder of this.gone) if (!this.folders.has(folder)) yield encodePage(folder, 0, 0, new Map());
    for (const { pages } of this.folders.values())
      for (const { offset, length } of pages) if (offset! >= this.savedTo) yield this.memory.bytes.subarray(offset, offset! + length);
  }

  /** Knows nothing any more. */
  forget(): void {
    this.folders.clear();
    this.gone.clear();
    this.open.clear();
    this.memory = new PageMemory();
    [this.savedTo, this.live, this.openRows] = [0, 0, 0];
    this.savedFor = undefined;
    this.files.distrust();
  }

  /** Puts away what replaced pages have left. */
  private compact(): void {
    const { bytes } = this.memory;
    this.savedTo = 0;
    this.memory = new PageMemory(this.live);
    for (const { pages } of this.folders.values())
      for (const page of pages) page.offset = this.memory.append(bytes.subarray(page.offset, page.offset! + page.length));
  }

  /** False when what was read does not make whole folders. */
  private takeIn(saved: readonly Uint8Array[]): boolean {
    this.memory = new PageMemory(saved.reduce((sum, { byteLength }) => sum + byteLength, 0));
    for (const bytes of saved) this.memory.append(bytes);
    try {
      for (let offset = 0; offset < this.memory.used;) offset += this.takeInPage(offset);
    } catch (error) {
      if (error instanceof MalformedError) return false;
      throw error;
    }
    this.savedTo = this.memory.used;
    return this.isKnown && [...this.folders.values()].every(({ pages }) => pages.every(({ offset }) => offset !== undefined));
  }

  private takeInPage(offset: number): number {
    const { length, rows, folder: name, count, index } = readPageHeader(this.memory.bytes, offset);
    if (!isNormalPath(name)) throw new MalformedError('a page is of no folder');
    let folder = this.folders.get(name);
    if (folder !== undefined && folder.pages.length !== count) {
      for (const page of folder.pages) this.live -= page.length;
      this.expected -= folder.pages.length;
      this.folders.delete(name);
      folder = undefined;
    }
    if (count > 0) {
      if (folder === undefined) {
        this.expected += count;
        if (this.expected > this.memory.used / MIN_PAGE_BYTES) throw new MalformedError('folders have more pages than there are');
        this.folders.set(name, (folder = { pages: Array.from({ length: count }, emptyPage) }));
      }
      this.live += length - folder.pages[index]!.length;
      folder.pages[index] = { offset, length, rowCount: rows, isChanged: false };
    }
    return length;
  }

  private row(path: string): Row | undefined {
    const page = this.pageOf(path);
    return page === undefined ? undefined : this.rowsOf(page).get(baseName(path));
  }

  private setStamp(path: string, stamp: Stamp | undefined): void {
    const row = this.row(path);
    if (row === undefined || row.kind === 'directory' || (stamp === undefined && row.stamp === undefined)) return;
    row.stamp = stamp;
    this.touch(this.pageOf(path)!);
  }

  private setRow(path: string, row: Row): void {
    const place = this.pageOf(path);
    if (place === undefined) return;
    const rows = this.rowsOf(place);
    const isNew = !rows.has(baseName(path));
    rows.set(baseName(path), row);
    this.touch(place);
    if (!isNew) return;
    place.page.rowCount++;
    this.openRows++;
    if (rows.size > PAGE_ROWS) this.split(place.folder);
  }

  private removeRow(path: string): void {
    const place = this.pageOf(path);
    if (place === undefined || !this.rowsOf(place).delete(baseName(path))) return;
    place.page.rowCount--;
    this.openRows--;
    this.touch(place);
  }

  private addFolder(name: string): void {
    this.removeFolder(name);
    const folder: Folder = { pages: [emptyPage()] };
    this.folders.set(name, folder);
    const place = { folder: name, index: 0, page: folder.pages[0]! };
    this.rowsOf(place);
    this.touch(place);
  }

  private removeFolder(name: string): void {
    const folder = this.folders.get(name);
    if (folder === undefined) return;
    for (const page of folder.pages) this.drop(page);
    this.folders.delete(name);
    this.gone.add(name);
  }

  /** Twice as many pages for a folder, each with half of the rows. */
  private split(name: string): void {
    const before = this.folders.get(name)!.pages;
    const pages = Array.from({ length: before.length * 2 }, (): Page & { rows: Rows } => ({ ...emptyPage(), rows: new Map() }));
    for (const page of before) {
      const rows = page.rows ?? new PageView(this.memory.bytes, page.offset!).decode();
      this.drop(page);
      for (const [child, row] of rows) pages[hashOf(child) & (pages.length - 1)]!.rows.set(child, row);
    }
    this.folders.set(name, { pages });
    pages.forEach((page, index) => {
      page.rowCount = page.rows.size;
      this.openRows += page.rowCount;
      this.open.set(page, { folder: name, index });
      this.touch({ page });
    });
  }

  private pageOf(path: string): Place | undefined {
    const folder = parentOf(path);
    const pages = this.folders.get(folder)?.pages;
    if (pages === undefined) return undefined;
    const index = pages.length === 1 ? 0 : hashOf(baseName(path)) & (pages.length - 1);
    return { folder, index, page: pages[index]! };
  }

  /** The rows of a page, taken out until `close`. */
  private rowsOf({ folder, index, page }: Place): Rows {
    if (page.rows !== undefined) return page.rows;
    if (this.openRows > MAX_OPEN_ROWS) this.close();
    page.rows = page.offset === undefined ? new Map<string, Row>() : new PageView(this.memory.bytes, page.offset).decode();
    page.rowCount = page.rows.size;
    this.openRows += page.rowCount;
    this.open.set(page, { folder, index });
    return page.rows;
  }

  private touch({ page }: { page: Page }): void {
    page.isChanged = true;
    this.savedFor = undefined;
  }

  private drop(page: Page): void {
    if (page.rows !== undefined) this.openRows -= page.rowCount;
    this.open.delete(page);
    this.live -= page.length;
  }

  /** Puts all rows back into pages in memory. */
  private close(): void {
    for (const [page, { folder, index }] of this.open) {
      if (page.isChanged) {
        const bytes = encodePage(folder, this.folders.get(folder)!.pages.length, index, page.rows!);
        this.live += bytes.byteLength - page.length;
        page.offset = this.memory.append(bytes);
        page.length = bytes.byteLength;
        page.isChanged = false;
      }
      delete page.rows;
    }
    this.open.clear();
    this.openRows = 0;
  }
}

interface Place {
  folder: string;
  index: number;
  page: Page;
}

function emptyPage(): Page {
  return { offset: undefined, length: 0, rowCount: 0, isChanged: false };
}

/** Which page a name is in: FNV-1a over its UTF-16 units. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
