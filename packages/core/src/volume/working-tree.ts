import { FileExistsError, FileNotFoundError, PathError } from '../errors.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { sameEntry } from '../manifest/entry.js';
import { editManifest } from '../manifest/edit.js';
import { getEntry, listFolder, walkTree } from '../manifest/read.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { toNanoseconds } from '../util/time.js';
import { ancestorsOf, joinPath, parentOf } from './paths.js';

/** Edits gathered before they go into the tree: enough to make a tree edit cheap per path, few enough to be memory of no concern. */
const MAX_PENDING = 4096;

/**
 * The file tree that a handle sees: a manifest plus recent edits, which go into the manifest in batches. Keeps the tree
 * well-formed (every parent is a folder) and raises the errors that node:fs would. Paths are normalized.
 */
export class WorkingTree {
  private readonly nodes: NodeSource & NodeSink;
  private readonly now: () => Date;
  private base: ManifestRoot;
  private manifest: ManifestRoot;
  private readonly pending = new Map<string, Entry | null>();
  /** A path that is a folder for sure: files come folder by folder. */
  private knownFolder = '';

  constructor(nodes: NodeSource & NodeSink, root: ManifestRoot, now: () => Date) {
    this.nodes = nodes;
    this.base = root;
    this.manifest = root;
    this.now = now;
  }

  /** The root of the tree with all edits in it. Equal trees have equal roots. */
  root(): ManifestRoot {
    if (this.pending.size > 0) {
      this.manifest = editManifest(this.nodes, this.nodes, this.manifest, this.pending);
      this.pending.clear();
    }
    return this.manifest;
  }

  /** Replaces the whole tree, and what it is an edit of. */
  reset(root: ManifestRoot, base = this.base): void {
    this.pending.clear();
    this.knownFolder = '';
    this.manifest = root;
    this.base = base;
  }

  /** The entry at a path; the volume's root has none of its own. */
  get(path: string): Entry | undefined {
    const edited = this.pending.get(path);
    if (edited !== undefined) return edited ?? undefined;
    return getEntry(this.nodes, this.manifest, path);
  }

  isFolder(path: string): boolean {
    if (path === '' || path === this.knownFolder) return true;
    if (this.get(path)?.type !== 'directory') return false;
    this.knownFolder = path;
    return true;
  }

  /** Direct children of a folder, by name. */
  list(folder: string): Iterable<[string, Entry]> {
    return listFolder(this.nodes, this.root(), folder);
  }

  /** Everything below a folder, parents before children. */
  walk(folder: string): Iterable<[string, Entry]> {
    return walkTree(this.nodes, this.root(), folder);
  }

  /**
   * Puts a file or symlink, and the folders above it. What is unchanged keeps its stored modification time.
   * @throws FileExistsError where something else is and `replace` is false
   */
  put(path: string, entry: Entry, options?: { replace: boolean }): void {
    if (path === '') throw new PathError('EISDIR', '/', 'the root is a folder', 'name a file in it');
    const existing = this.get(path);
    if (existing !== undefined && options?.replace === false && !sameEntry(existing, entry)) throw new FileExistsError(path);
    if (existing?.type === 'directory') throw new PathError('EISDIR', path, 'a folder is there', 'remove it first, or choose another path');
    if (existing !== undefined && sameEntry(existing, entry)) return;
    this.makeFolders(parentOf(path));
    this.edit(path, entry);
  }

  /** Makes a folder and those above it; does nothing where they are. */
  makeFolders(path: string): void {
    // The parents of what is there are there too.
    if (this.isFolder(path)) return;
    for (const folder of [...ancestorsOf(path), path]) {
      const existing = this.get(folder);
      if (existing?.type === 'directory') continue;
      if (existing !== undefined)
        throw new PathError('ENOTDIR', folder, 'not a folder', 'a file or symlink has that name: remove it first, or choose another path');
      this.edit(folder, { type: 'directory', mtimeNs: toNanoseconds(this.now()) });
    }
  }

  remove(path: string, options: { recursive: boolean; allowMissing: boolean }): void {
    if (path === '') {
      if (!options.recursive) throw new PathError('ENOTEMPTY', '/', 'the root cannot be removed', 'remove what is in it with recursive');
      for (const [child] of [...this.list('')]) this.removeSubtree(child);
      return;
    }
    const entry = this.get(path);
    if (entry === undefined) {
      if (options.allowMissing) return;
      throw new FileNotFoundError(path);
    }
    if (entry.type === 'directory' && !options.recursive && !this.isEmptyFolder(path)) {
      throw new PathError('ENOTEMPTY', path, 'the folder is not empty', 'pass recursive (-r) to remove it with what is in it');
    }
    this.removeSubtree(path);
  }

  /** As `fs.rename`: over a file or an empty folder of the same kind, never into itself. */
  rename(from: string, to: string): void {
    const entry = from === '' ? undefined : this.get(from);
    if (entry === undefined)
      throw from === ''
        ? new PathError('EINVAL', '/', 'the root cannot be renamed', 'rename a volume instead')
        : new FileNotFoundError(from);
    if (from === to) return;
    if (to === '') throw new FileExistsError('/');
    if (to.startsWith(`${from}/`))
      throw new PathError('EINVAL', to, 'a folder cannot be moved into itself', 'choose a destination outside of it');
    const replaced = this.get(to);
    if (replaced !== undefined) {
      if (replaced.type === 'directory' && entry.type !== 'directory') {
        throw new PathError('EISDIR', to, 'a folder is there', 'remove it first, or choose another path');
      }
      if (replaced.type !== 'directory' && entry.type === 'directory') {
        throw new PathError('ENOTDIR', to, 'a file is there', 'remove it first, or choose another path');
      }
      if (replaced.type === 'directory' && !this.isEmptyFolder(to)) {
        throw new PathError('ENOTEMPTY', to, 'the folder there is not empty', 'remove it first, or choose another path');
      }
    }
    this.makeFolders(parentOf(to));
    const moved = [...(entry.type === 'directory' ? this.walk(from) : [])];
    this.removeSubtree(from);
    this.edit(to, entry);
    for (const [path, child] of moved) this.edit(to + path.slice(from.length), child);
  }

  /** Puts entries of any view below `destination`: a copy of references. Folders that are there already are merged into. */
  graft(destination: string, entry: Entry, descendants: Iterable<[string, Entry]>, sourcePath: string): void {
    if (entry.type !== 'directory') return this.put(destination, entry);
    this.makeFolders(destination);
    for (const [path, child] of descendants) {
      const target = sourcePath === '' ? joinPath(destination, path) : destination + path.slice(sourcePath.length);
      if (child.type === 'directory') this.makeFolders(target);
      else this.put(target, child);
    }
  }

  private isEmptyFolder(path: string): boolean {
    for (const _child of this.list(path)) return false;
    return true;
  }

  private removeSubtree(path: string): void {
    if (this.get(path)?.type === 'directory') {
      for (const [child] of [...this.walk(path)]) this.edit(child, null);
    }
    this.edit(path, null);
  }

  private edit(path: string, entry: Entry | null): void {
    if (path === this.knownFolder) this.knownFolder = '';
    // What comes back to what it was has its time of then: a modification time alone is no change.
    const before = entry === null ? undefined : getEntry(this.nodes, this.base, path);
    this.pending.set(path, entry !== null && before !== undefined && sameEntry(before, entry) ? before : entry);
    if (this.pending.size >= MAX_PENDING) this.root();
  }
}
