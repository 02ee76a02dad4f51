/** The semantics of a volume in plain Maps: what the engine must agree with, written from the contract and nothing else. */

export type Node = { type: 'file'; bytes: Uint8Array } | { type: 'directory' } | { type: 'symlink'; target: string };
export type Tree = Map<string, Node>;

/** A call that must fail, and the code that it must fail with. */
export class ModelError extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export function sameNode(a: Node | undefined, b: Node | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.type === 'file') return b.type === 'file' && Buffer.compare(a.bytes, b.bytes) === 0;
  if (a.type === 'symlink') return b.type === 'symlink' && a.target === b.target;
  return b.type === 'directory';
}

export function sameTree(a: Tree, b: Tree): boolean {
  return a.size === b.size && [...a].every(([path, node]) => sameNode(node, b.get(path)));
}

const parentOf = (path: string): string => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');
const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);

function ancestors(path: string): string[] {
  const all: string[] = [];
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) all.unshift(parent);
  return all;
}

/**
 * Three-way merge where ours wins, from the contract: identical changes are no conflict; what only one side changed is
 * taken; of a path that both changed ours is taken; where one side made a folder something else while the other lived on
 * in it, all of ours is taken from there down; what is kept brings its folders back.
 */
export function mergeTrees(base: Tree, ours: Tree, theirs: Tree): Tree {
  const paths = [...new Set([...base.keys(), ...ours.keys(), ...theirs.keys()])].sort();
  const changed = (side: Tree, path: string): boolean => !sameNode(base.get(path), side.get(path));
  const madeNoFolder = (side: Tree, path: string): boolean => changed(side, path) && side.has(path) && side.get(path)?.type !== 'directory';
  const livesIn = (side: Tree, path: string): boolean =>
    side.get(path)?.type === 'directory' &&
    (changed(side, path) || paths.some((other) => isBelow(other, path) && side.has(other) && changed(side, other)));
  const oursFromHere = paths.filter(
    (path) => (madeNoFolder(ours, path) && livesIn(theirs, path)) || (madeNoFolder(theirs, path) && livesIn(ours, path)),
  );

  const result: Tree = new Map();
  for (const path of paths) {
    const takeOurs = changed(ours, path) || oursFromHere.some((top) => top === path || isBelow(path, top));
    const node = (takeOurs ? ours : theirs).get(path);
    if (node !== undefined) result.set(path, node);
  }
  for (const path of [...result.keys()]) {
    for (const folder of ancestors(path)) {
      if (
        result.get(folder)?.type !== 'directory' &&
        [ours, theirs].some((side) => side.get(path) !== undefined && side.get(folder)?.type === 'directory')
      ) {
        result.set(folder, { type: 'directory' });
      }
    }
  }
  return result;
}

/** One handle of the model: a base that others do not move, and own changes in `tree`. */
export class ModelHandle {
  base: Tree;
  tree: Tree;

  constructor(head: Tree) {
    this.base = head;
    this.tree = new Map(head);
  }

  read(path: string): Uint8Array {
    return this.file(path).bytes;
  }

  writeFile(path: string, bytes: Uint8Array): void {
    if (this.tree.get(path)?.type === 'directory') throw new ModelError('EISDIR');
    this.mkdir(parentOf(path));
    this.tree.set(path, { type: 'file', bytes });
  }

  appendFile(path: string, bytes: Uint8Array): void {
    const old = this.tree.has(path) ? this.file(path).bytes : new Uint8Array();
    this.writeFile(path, Buffer.concat([old, bytes]));
  }

  overwrite(path: string, position: number, bytes: Uint8Array): void {
    const old = this.file(path).bytes;
    const now = new Uint8Array(Math.max(old.length, bytes.length === 0 ? 0 : position + bytes.length));
    now.set(old);
    if (bytes.length > 0) now.set(bytes, position);
    this.tree.set(path, { type: 'file', bytes: now });
  }

  truncate(path: string, size: number): void {
    const now = new Uint8Array(size);
    now.set(this.file(path).bytes.subarray(0, size));
    this.tree.set(path, { type: 'file', bytes: now });
  }

  mkdir(path: string): void {
    if (path === '') return;
    for (const folder of [...ancestors(path), path]) {
      const there = this.tree.get(folder);
      if (there === undefined) this.tree.set(folder, { type: 'directory' });
      else if (there.type !== 'directory') throw new ModelError('ENOTDIR');
    }
  }

  symlink(target: string, path: string): void {
    if (this.tree.get(path)?.type === 'directory') throw new ModelError('EISDIR');
    this.mkdir(parentOf(path));
    this.tree.set(path, { type: 'symlink', target });
  }

  remove(path: string, recursive: boolean): void {
    const node = this.tree.get(path);
    if (node === undefined) throw new ModelError('ENOENT');
    const below = [...this.tree.keys()].filter((other) => isBelow(other, path));
    if (!recursive && below.length > 0) throw new ModelError('ENOTEMPTY');
    for (const gone of [path, ...below]) this.tree.delete(gone);
  }

  rename(from: string, to: string): void {
    const node = this.tree.get(from);
    if (node === undefined) throw new ModelError('ENOENT');
    if (from === to) return;
    if (isBelow(to, from)) throw new ModelError('EINVAL');
    const there = this.tree.get(to);
    if (there?.type === 'directory' && node.type !== 'directory') throw new ModelError('EISDIR');
    if (there !== undefined && there.type !== 'directory' && node.type === 'directory') throw new ModelError('ENOTDIR');
    if (there?.type === 'directory' && [...this.tree.keys()].some((other) => isBelow(other, to))) throw new ModelError('ENOTEMPTY');
    this.mkdir(parentOf(to));
    const moved = [...this.tree].filter(([path]) => path === from || isBelow(path, from));
    for (const [path] of moved) this.tree.delete(path);
    for (const [path, child] of moved) this.tree.set(to + path.slice(from.length), child);
  }

  /** Of one file, onto a path that is no folder. */
  copy(from: string, to: string): void {
    const node = this.tree.get(from);
    if (node === undefined) throw new ModelError('ENOENT');
    if (node.type === 'directory') throw new ModelError('EISDIR');
    const target = this.tree.get(to)?.type === 'directory' ? `${to}/${from.slice(from.lastIndexOf('/') + 1)}` : to;
    if (this.tree.get(target)?.type === 'directory') throw new ModelError('EISDIR');
    this.mkdir(parentOf(target));
    this.tree.set(target, node);
  }

  /** Moves onto a head, with what is not in it yet on top. */
  moveTo(head: Tree): void {
    this.tree = mergeTrees(this.base, this.tree, head);
    this.base = head;
  }

  private file(path: string): { type: 'file'; bytes: Uint8Array } {
    const node = this.tree.get(path);
    if (node === undefined) throw new ModelError('ENOENT');
    if (node.type === 'directory') throw new ModelError('EISDIR');
    if (node.type === 'symlink') throw new ModelError('EINVAL');
    return node;
  }
}
