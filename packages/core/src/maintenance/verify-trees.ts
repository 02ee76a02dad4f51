import { decodeContentNode } from '../content/node.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { Key } from '../manifest/keys.js';
import { decodeManifestNode, EntryKind, type ManifestNode, type Totals } from '../manifest/node.js';
import type { NodeSource } from '../objects/node-store.js';
import { damagedObject } from '../objects/verified-object.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { Reference } from '../snapshot/references.js';
import { MalformedError } from '../util/bytes.js';
import type { Findings } from './findings.js';

const OBJECTS_PER_TURN = 4096;

/** An object that has to be there, and what the one that refers to it says of it: whoever reads relies on both. */
interface Due extends Reference {
  said: SaidOfContent | SaidOfManifest | undefined;
}

/** Of a content node, and of a chunk, whose level is 0. */
interface SaidOfContent {
  level: number;
  length: number;
}

interface SaidOfManifest extends Totals {
  level: number;
  /** Its keys come after this one; undefined: no bound. */
  after: Key | undefined;
  lastKey: Key;
}

/** What an object turned out to be, in the same terms. */
type Facts = SaidOfContent | (Omit<SaidOfManifest, 'after'> & { firstKey: Key });

/**
 * Walks all trees of all snapshots, each object once: nodes are read and checked, chunks must have a place in a whole pack, and
 * each must be what every one that refers to it says: sound nodes in wrong places are damage.
 */
export async function verifyTrees(index: IndexReader, nodes: NodeSource, findings: Findings, signal?: AbortSignal): Promise<void> {
  const walk = new TreeCheck(index, nodes, findings);
  const waiting: Due[] = allSnapshots(index).map(({ snapshot }) => ({ kind: ObjectKind.snapshot, digest: snapshot, said: undefined }));
  let checked = 0;
  for (let due = waiting.pop(); due !== undefined; due = waiting.pop()) {
    const at = due;
    for (const below of findings.collect(() => walk.check(at)) ?? []) waiting.push(below);
    if (++checked % OBJECTS_PER_TURN === 0) {
      signal?.throwIfAborted();
      await new Promise(setImmediate);
    }
  }
}

class TreeCheck {
  private readonly index: IndexReader;
  private readonly nodes: NodeSource;
  private readonly findings: Findings;
  /** Of objects that were met: undefined for records, which nobody says anything of, and for damaged ones. */
  private readonly facts = new Map<string, Facts | undefined>();

  constructor(index: IndexReader, nodes: NodeSource, findings: Findings) {
    this.index = index;
    this.nodes = nodes;
    this.findings = findings;
  }

  /** What an object that is met for the first time refers to. @throws DamageError */
  check({ kind, digest, said }: Due): Due[] {
    const key = objectMapKey(kind, digest);
    const isNew = !this.facts.has(key);
    let below: Due[] = [];
    if (isNew) {
      this.facts.set(key, undefined);
      const found = this.look(kind, digest, said);
      this.facts.set(key, found.facts);
      below = found.below;
    }
    const facts = this.facts.get(key);
    const fault = facts === undefined || said === undefined ? undefined : differenceOf(facts, said);
    // What lies below a node in a wrong place is no part of the tree.
    if (fault !== undefined) throw damagedObject(kind, digest, fault);
    return below;
  }

  private look(kind: ObjectKind, digest: Digest, said: Due['said']): { facts: Facts | undefined; below: Due[] } {
    const location = this.index.locate(kind, digest);
    if (location === undefined) throw damagedObject(kind, digest, 'is missing');
    if (this.findings.get('pack', location.pack) !== undefined)
      throw damagedObject(kind, digest, `lies in pack ${location.pack}, which is damaged`);
    if (kind === ObjectKind.chunk) return { facts: { level: 0, length: location.length }, below: [] };
    const bytes = this.nodes.get(kind, digest);
    try {
      if (kind === ObjectKind.contentNode) return belowContent(bytes);
      if (kind === ObjectKind.manifestNode)
        return belowManifest(decodeManifestNode(bytes), said !== undefined && 'after' in said ? said.after : undefined);
    } catch (error) {
      throw error instanceof MalformedError ? damagedObject(kind, digest, 'is malformed', error) : error;
    }
    const { root } = decodeSnapshotRecord(bytes);
    return { facts: undefined, below: root === null ? [] : [{ kind: ObjectKind.manifestNode, digest: root, said: undefined }] };
  }
}

function belowContent(bytes: Uint8Array): { facts: Facts; below: Due[] } {
  const node = decodeContentNode(bytes);
  const level = node.level - 1;
  const kind = level === 0 ? ObjectKind.chunk : ObjectKind.contentNode;
  const below = Array.from({ length: node.count }, (_, i): Due => {
    const { digest, length } = node.entry(i);
    return { kind, digest, said: { level, length } };
  });
  return { facts: { level: node.level, length: node.length }, below };
}

function belowManifest(node: ManifestNode, after: Key | undefined): { facts: Facts; below: Due[] } {
  const below: Due[] = [];
  node.keys.forEach((lastKey, i) => {
    if (node.level > 0) {
      const said: SaidOfManifest = { ...node.child(i), level: node.level - 1, after: i === 0 ? after : node.keys[i - 1], lastKey };
      below.push({ kind: ObjectKind.manifestNode, digest: node.child(i).digest, said });
    } else if (node.value(i)[0]! <= EntryKind.executable) {
      const entry = node.entry(i);
      if (entry.type !== 'file' || entry.content.length === 0) return;
      const { root: digest, height: level, length } = entry.content;
      below.push({ kind: level === 0 ? ObjectKind.chunk : ObjectKind.contentNode, digest, said: { level, length } });
    }
  });
  return { facts: { ...node.totals, level: node.level, firstKey: node.keys[0]!, lastKey: node.lastKey }, below };
}

/** Undefined where an object is what is said of it. */
function differenceOf(facts: Facts, said: SaidOfContent | SaidOfManifest): string | undefined {
  if (facts.level !== said.level) return `is of level ${facts.level}, and one of level ${said.level} is referred to`;
  if ('length' in facts || 'length' in said)
    return 'length' in facts && 'length' in said && facts.length === said.length ? undefined : 'has another length than is said of it';
  if (facts.lastKey !== said.lastKey || (said.after !== undefined && facts.firstKey <= said.after))
    return 'has keys out of the range that is said of it';
  const isSame = facts.entries === said.entries && facts.files === said.files && facts.sizeBytes === said.sizeBytes;
  return isSame ? undefined : 'has other sums than are said of it';
}

/** Every snapshot of every volume, by the volume's name. */
export function allSnapshots(index: IndexReader): { volume: string; snapshot: Digest }[] {
  return index
    .volumes()
    .flatMap((volume) => [...index.generations(volume.id)].map(({ snapshot }) => ({ volume: volume.name ?? '', snapshot })));
}
