import { DIGEST_BYTES } from '../hash/digest.js';
import type { NodeSource } from '../objects/node-store.js';
import { sameEntry, sameRoot, type Entry, type ManifestRoot } from './entry.js';
import { childrenPrefix, descendantsPrefix, keyToPath, type Key } from './keys.js';
import { readChildNode, readManifestNode } from './node-cache.js';
import type { ChildRef, ManifestNode } from './node.js';
import { getEntry } from './read.js';

/** A path that differs between two manifests: added without `before`, removed without `after`. */
export interface ManifestChange {
  readonly path: string;
  readonly before?: Entry;
  readonly after?: Entry;
}

/**
 * The paths whose entries differ between two manifests, in the order of keys: a folder before what is in it. A modification
 * time alone is no difference. Subtrees with equal digests are skipped unread: the cost is that of the differing nodes.
 * With `prefix` only keys that begin so are looked at, and nodes without such keys stay unread, too.
 *
 * @throws DamageError
 */
export function* diffManifests(
  source: NodeSource,
  a: ManifestRoot,
  b: ManifestRoot,
  prefix = '' as Key,
): Generator<ManifestChange, void, undefined> {
  if (sameRoot(a, b)) return;
  let before = top(source, a);
  let after = top(source, b);
  for (let level = Math.max(levelOf(before), levelOf(after)); level > 0; level--)
    [before, after] = differingNodes(new Children(source, before, level), new Children(source, after, level), prefix);
  yield* differingItems(new Items(source, before), new Items(source, after), prefix);
}

/**
 * Whether two trees differ in what is at a path, or below it; '' is the root. Reads the nodes on the way there and those
 * below that differ, whatever has changed elsewhere.
 *
 * @throws DamageError
 */
export function differsAt(source: NodeSource, a: ManifestRoot, b: ManifestRoot, path: string): boolean {
  if (sameRoot(a, b)) return false;
  if (path === '') return !isEmpty(diffManifests(source, a, b));
  const [before, after] = [getEntry(source, a, path), getEntry(source, b, path)];
  if (!sameEntry(before, after)) return true;
  if (before?.type !== 'directory') return false;
  return [childrenPrefix(path), descendantsPrefix(path)].some((prefix) => !isEmpty(diffManifests(source, a, b, prefix)));
}

function isEmpty(changes: Iterator<ManifestChange>): boolean {
  return changes.next().done === true;
}

/** A node that may differ, known by what its parent says of it, and not read before its turn. */
interface Unread {
  level: number;
  after: Key | undefined;
  lastKey: Key;
  ref: ChildRef;
}

function top(source: NodeSource, root: ManifestRoot): Unread[] {
  if (root === null) return [];
  const { level, lastKey, totals } = readManifestNode(source, root);
  return [{ level, after: undefined, lastKey, ref: { ...totals, digest: root } }];
}

function levelOf(nodes: readonly Unread[]): number {
  return nodes[0]?.level ?? 0;
}

/** A cursor over the nodes below a level: the children of those that are of it, and the others themselves. Makes nothing of those that are passed by. */
class Children {
  /** Of the node that the cursor is at; undefined at the end. */
  lastKey: Key | undefined;
  private readonly source: NodeSource;
  private readonly parents: readonly Unread[];
  private readonly level: number;
  private nextParent = 0;
  private parent!: Unread;
  /** The parent, read; undefined where the cursor is at a node that is not of this level. */
  private node: ManifestNode | undefined;
  private index = -1;

  constructor(source: NodeSource, parents: readonly Unread[], level: number) {
    this.source = source;
    this.parents = parents;
    this.level = level;
    this.advance();
  }

  advance(): void {
    this.index++;
    if (this.node === undefined || this.index === this.node.count) this.openNext();
    else this.lastKey = this.node.keys[this.index];
  }

  isAtSameNodeAs(other: Children): boolean {
    const [a, b] = [this.digestBytes(), other.digestBytes()];
    const [from, otherFrom] = [this.digestStart(), other.digestStart()];
    for (let i = 0; i < DIGEST_BYTES; i++) if (a[from + i] !== b[otherFrom + i]) return false;
    return true;
  }

  /** The node that the cursor is at; undefined when nothing in it begins with the prefix. */
  current(prefix: Key): Unread | undefined {
    const { node, parent, index } = this;
    if (node === undefined) return parent;
    const after = index > 0 ? node.keys[index - 1] : parent.after;
    const lastKey = node.keys[index]!;
    if (lastKey < prefix || (after !== undefined && after >= prefix && !after.startsWith(prefix))) return undefined;
    return { level: parent.level - 1, after, lastKey, ref: node.child(index) };
  }

  private openNext(): void {
    const parent = this.parents[this.nextParent++];
    this.index = 0;
    this.node = undefined;
    this.lastKey = parent?.lastKey;
    if (parent === undefined) return;
    this.parent = parent;
    if (parent.level < this.level) return;
    this.node = readChildNode(this.source, parent.ref, parent);
    this.lastKey = this.node.keys[0];
  }

  private digestBytes(): Uint8Array {
    return this.node?.bytes ?? this.parent.ref.digest;
  }

  private digestStart(): number {
    return this.node?.digestStart(this.index) ?? 0;
  }
}

/** Equal nodes hold equal items, and those are nowhere else in either tree: none of them can differ. */
function differingNodes(before: Children, after: Children, prefix: Key): [Unread[], Unread[]] {
  const nodes: [Unread[], Unread[]] = [[], []];
  const take = (children: Children, list: Unread[]): void => {
    const node = children.current(prefix);
    if (node !== undefined) list.push(node);
    children.advance();
  };
  while (before.lastKey !== undefined || after.lastKey !== undefined) {
    const isLeft = after.lastKey === undefined || (before.lastKey !== undefined && before.lastKey <= after.lastKey);
    const isRight = before.lastKey === undefined || (after.lastKey !== undefined && after.lastKey <= before.lastKey);
    if (isLeft && isRight && before.isAtSameNodeAs(after)) {
      before.advance();
      after.advance();
      continue;
    }
    if (isLeft) take(before, nodes[0]);
    if (isRight) take(after, nodes[1]);
  }
  return nodes;
}

/** A cursor over the items of several leaves, which reads one leaf at a time. */
class Items {
  key: Key | undefined;
  node!: ManifestNode;
  index = -1;
  private readonly source: NodeSource;
  private readonly leaves: readonly Unread[];
  private nextLeaf = 0;

  constructor(source: NodeSource, leaves: readonly Unread[]) {
    this.source = source;
    this.leaves = leaves;
    this.openNext();
  }

  advance(): void {
    this.index++;
    if (this.index < this.node.count) this.key = this.node.keys[this.index];
    else this.openNext();
  }

  entry(): Entry {
    return this.node.entry(this.index);
  }

  private openNext(): void {
    const leaf = this.leaves[this.nextLeaf++];
    if (leaf !== undefined) this.node = readChildNode(this.source, leaf.ref, leaf);
    this.index = 0;
    this.key = leaf === undefined ? undefined : this.node.keys[0];
  }
}

function* differingItems(before: Items, after: Items, prefix: Key): Generator<ManifestChange, void, undefined> {
  for (const items of [before, after]) while (items.key !== undefined && items.key < prefix) items.advance();
  const isBeyond = ({ key }: Items): boolean => key === undefined || !key.startsWith(prefix);
  while (!isBeyond(before) || !isBeyond(after)) {
    if (after.key === undefined || (before.key !== undefined && before.key < after.key)) {
      yield { path: keyToPath(before.key!), before: before.entry() };
      before.advance();
    } else if (before.key === undefined || after.key < before.key) {
      yield { path: keyToPath(after.key), after: after.entry() };
      after.advance();
    } else {
      if (!before.node.sameItem(before.index, after.node, after.index)) {
        yield { path: keyToPath(after.key), before: before.entry(), after: after.entry() };
      }
      before.advance();
      after.advance();
    }
  }
}
