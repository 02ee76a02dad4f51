import { digestsEqual, type Digest } from '../hash/digest.js';
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
  for (let level = Math.max(levelOf(before), levelOf(after)); level > 0; level--) {
    [before, after] = withoutCommon(before, after);
    before = before.flatMap((node) => (node.level === level ? childrenOf(source, node, prefix) : [node]));
    after = after.flatMap((node) => (node.level === level ? childrenOf(source, node, prefix) : [node]));
  }
  [before, after] = withoutCommon(before, after);
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

function childrenOf(source: NodeSource, { level, after, lastKey, ref }: Unread, prefix: Key): Unread[] {
  const node = readChildNode(source, ref, { level, after, lastKey });
  return node.keys
    .map((key, i) => ({ level: level - 1, after: i > 0 ? node.keys[i - 1] : after, lastKey: key, ref: node.child(i) }))
    .filter((child) => child.lastKey >= prefix && (child.after === undefined || child.after < prefix || child.after.startsWith(prefix)));
}

/** Equal nodes hold equal items, and those are nowhere else in either tree: none of them can differ. */
function withoutCommon(before: Unread[], after: Unread[]): [Unread[], Unread[]] {
  const common = new Set<Digest>();
  for (let i = 0, j = 0; i < before.length && j < after.length;) {
    const left = before[i]!;
    const right = after[j]!;
    if (left.lastKey === right.lastKey && digestsEqual(left.ref.digest, right.ref.digest))
      common.add(left.ref.digest).add(right.ref.digest);
    if (left.lastKey <= right.lastKey) i++;
    if (right.lastKey <= left.lastKey) j++;
  }
  const differs = (node: Unread): boolean => !common.has(node.ref.digest);
  return common.size === 0 ? [before, after] : [before.filter(differs), after.filter(differs)];
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
