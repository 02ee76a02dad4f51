import fc from 'fast-check';
import { contentId } from '../../packages/core/src/content/content.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import type { Entry, ManifestRoot } from '../../packages/core/src/manifest/entry.js';
import { asDigest } from '../../packages/core/src/hash/digest.js';
import { MemoryNodes } from './memory-nodes.js';

/** A tree as the tests think of it: entries by path. */
export type Tree = Map<string, Entry>;

export function file(content: number, mtimeNs = 1n, executable = false): Entry {
  const root = new Uint8Array(32);
  new DataView(root.buffer).setUint32(0, content);
  return { type: 'file', executable, mtimeNs, content: { height: content % 3, root: asDigest(root), length: content } };
}

export function folder(mtimeNs = 1n): Entry {
  return { type: 'directory', mtimeNs };
}

export function link(target: string, mtimeNs = 1n): Entry {
  return { type: 'symlink', mtimeNs, target };
}

/** The root that a single bulk load of this tree has. */
export function bulk(tree: Iterable<readonly [string, Entry]>, nodes = new MemoryNodes()): ManifestRoot {
  return editManifest(nodes, nodes, null, tree);
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The order of manifests: by the bytes of the parent's path, then by those of the name. */
export function inKeyOrder<T>(entries: Iterable<readonly [string, T]>): [string, T][] {
  return [...entries]
    .map(([path, value]) => ({ path, value, key: Buffer.from(`${parentOf(path)}\0${path.slice(path.lastIndexOf('/') + 1)}`) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ path, value }) => [path, value]);
}

/** Entries as lines of text: compared in no time, and shown well where they differ. */
export function lines(entries: Iterable<readonly [string, Entry | undefined]>): string[] {
  return Array.from(entries, ([path, entry]) => `${path} ${show(entry)}`);
}

export function show(entry: Entry | undefined): string {
  if (entry === undefined) return '-';
  if (entry.type === 'directory') return `directory ${entry.mtimeNs}`;
  if (entry.type === 'symlink') return `link ${entry.target} ${entry.mtimeNs}`;
  return `file ${entry.executable} ${contentId(entry.content)} ${entry.mtimeNs}`;
}

/** Sets an entry as a person would: folders above it are made, files there give way, what was below a new file goes. */
export function write(tree: Tree, path: string, entry: Entry): void {
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent))
    if (tree.get(parent)?.type !== 'directory') tree.set(parent, folder());
  if (entry.type !== 'directory') remove(tree, path);
  tree.set(path, entry);
}

export function remove(tree: Tree, path: string): void {
  for (const other of [...tree.keys()]) if (other === path || other.startsWith(`${path}/`)) tree.delete(other);
}

/** What an edit of a small well-formed tree may be; few names, so that edits meet. */
export type TreeStep = { path: string; entry: Entry | null };

const names = fc.constantFrom('a', 'b', 'c.d', 'é');
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/'));
const entries = fc.oneof(
  { weight: 4, arbitrary: fc.nat(3).map((content) => file(content)) },
  { weight: 2, arbitrary: fc.constant(folder()) },
  { weight: 1, arbitrary: fc.constantFrom(link('a'), link('b/x')) },
  { weight: 3, arbitrary: fc.constant(null) },
);
export const treeSteps = fc.array(fc.record({ path: paths, entry: entries }), { maxLength: 12 });

export function apply(tree: Tree, steps: readonly TreeStep[]): Tree {
  const result = new Map(tree);
  for (const { path, entry } of steps) {
    if (entry === null) remove(result, path);
    else write(result, path, entry);
  }
  return result;
}
