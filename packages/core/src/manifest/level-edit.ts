import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { descend, type NodeAt } from './descend.js';
import type { Entry, ManifestRoot } from './entry.js';
import { successor, type Key } from './keys.js';
import { readManifestNode } from './node-cache.js';
import { endsManifestNode, type ChildRef, type ManifestNode } from './node.js';
import { NodeWriter } from './node-writer.js';

/** Edits in ascending order of their keys, each key once: the value to set, or null to remove. */
export interface SortedEdits<V> {
  readonly keys: readonly Key[];
  readonly values: readonly (V | null)[];
}

/** Of several edits of a key the last one counts. Bulk loads often come sorted, and are passed through. */
export function sortEdits<V>(keys: Key[], values: (V | null)[]): SortedEdits<V> {
  if (keys.every((key, i) => i === 0 || keys[i - 1]! < key)) return { keys, values };
  const byKey = new Map(keys.map((key, i) => [key, values[i]!]));
  const sorted = [...byKey.keys()].sort();
  return { keys: sorted, values: sorted.map((key) => byKey.get(key)!) };
}

/**
 * Rewrites one level of a tree, whose items have values of type `V`, and gathers what that means for the level above.
 * From each edit on, old items run through the writer until a new node ends where an old one did: the old nodes
 * from there to the next edit stay as they are.
 */
export class LevelEdit<V extends Entry | ChildRef> {
  /** Edits of the level above: by last key, the nodes that came, and null for those that went. */
  readonly changes = new Map<Key, ChildRef | null>();
  private readonly sink: NodeSink;
  private readonly level: number;
  private readonly write: (writer: NodeWriter, key: Key, value: V) => void;
  private writer: NodeWriter;
  private closedNodes = 0;
  /** Whether no old node of this level was left alone. */
  private complete = true;
  /** The old node that is being replayed, or was last; `digest` when it is the top one, which no level above knows. */
  private old: { node: ManifestNode; digest: Digest | undefined } | undefined;
  /** The item written last: its new value, or where it was before. */
  private last: { value: V } | { node: ManifestNode; index: number } | undefined;

  constructor(sink: NodeSink, level: number, write: (writer: NodeWriter, key: Key, value: V) => void) {
    this.sink = sink;
    this.level = level;
    this.write = write;
    this.writer = new NodeWriter(level);
  }

  /** Called once. */
  run(source: NodeSource, root: ManifestRoot, edits: SortedEdits<V>): void {
    if (root === null || readManifestNode(source, root).level < this.level) {
      for (const [i, key] of edits.keys.entries()) this.put(key, edits.values[i]!);
    } else this.replay(source, root, edits);
    if (this.onlyChild === undefined) this.close();
  }

  /** Whether nothing is left of the whole level. */
  get isEmpty(): boolean {
    return this.complete && this.closedNodes === 0;
  }

  /** The node below when it is the only one left of its level: then no node is written above it, and it is the root. */
  get onlyChild(): { digest: Digest; isNew: boolean } | undefined {
    if (this.level === 0 || !this.complete || this.closedNodes > 0 || this.writer.count !== 1) return undefined;
    const last = this.last!;
    return 'node' in last
      ? { digest: last.node.child(last.index).digest, isNew: false }
      : { digest: (last.value as ChildRef).digest, isNew: true };
  }

  private replay(source: NodeSource, root: Digest, edits: SortedEdits<V>): void {
    const { keys } = edits;
    const topLevel = readManifestNode(source, root).level;
    let done: Key | undefined;
    let isLast = false;
    for (let next = 0; next < keys.length;) {
      let at = descend(source, root, this.level, keys[next]!);
      if (at.low !== done) this.complete = false;
      for (;;) {
        this.old = { node: at.node, digest: at.node.level === topLevel ? root : undefined };
        next = this.replayNode(at, next, edits);
        done = at.node.lastKey;
        isLast = at.isLast;
        if (isLast || this.writer.count === 0) break;
        at = descend(source, root, this.level, successor(done));
      }
    }
    if (!isLast) this.complete = false;
  }

  /** Merges the edits from `next` on that fall into this node with its items; returns the first edit after it. */
  private replayNode({ node, isLast }: NodeAt, next: number, { keys, values }: SortedEdits<V>): number {
    this.changes.set(node.lastKey, null);
    let index = 0;
    for (; next < keys.length; next++) {
      const key = keys[next]!;
      if (!isLast && key > node.lastKey) break;
      const end = node.lowerBound(key);
      this.keep(node, index, end);
      index = node.keys[end] === key ? end + 1 : end;
      this.put(key, values[next]!);
    }
    this.keep(node, index, node.count);
    return next;
  }

  private put(key: Key, value: V | null): void {
    if (value === null) return;
    this.write(this.writer, key, value);
    this.last = { value };
    if (endsManifestNode(this.writer.count, key, this.level)) this.close();
  }

  /** Takes over the items [from, to), in one piece between the node ends among them. */
  private keep(node: ManifestNode, from: number, to: number): void {
    for (let next = from; from < to; from = next) {
      let ends = false;
      while (next < to && !ends) ends = endsManifestNode(this.writer.count + ++next - from, node.keys[next - 1]!, this.level);
      this.writer.addItems(node, from, next);
      this.last = { node, index: next - 1 };
      if (ends) this.close();
    }
  }

  private close(): void {
    if (this.writer.count === 0) return;
    const { lastKey, totals } = this.writer;
    const bytes = this.writer.finish();
    if (this.old?.node.lastKey === lastKey && Buffer.compare(this.old.node.bytes, bytes) === 0) {
      // The old node again, as when an edit sets what is there already: nothing to store, and nothing new for the level above.
      if (this.old.digest === undefined) this.changes.delete(lastKey);
      else this.changes.set(lastKey, { ...totals, digest: this.old.digest });
    } else this.changes.set(lastKey, { ...totals, digest: this.sink.put(ObjectKind.manifestNode, bytes) });
    this.writer = new NodeWriter(this.level);
    this.closedNodes++;
  }
}
