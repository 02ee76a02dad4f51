import { decodeContentNode } from '../content/node.js';
import { DigestSet } from '../hash/digest-set.js';
import { type Digest, digestToHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { Key } from '../manifest/keys.js';
import { decodeManifestNode, EntryKind, type ManifestNode, type Totals } from '../manifest/node.js';
import { listMounts, mountRoots } from '../mount/roots.js';
import type { NodeSource } from '../objects/node-store.js';
import { damagedObject } from '../objects/verified-object.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { Reference } from '../snapshot/references.js';
import { MalformedError } from '../util/bytes.js';
import { Turns } from '../util/turns.js';
import { Findings } from './findings.js';
import { objectCount } from './object-count.js';
import { Phases } from './phases.js';

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

/** Where trees are read from, and what refers to them beside volumes. */
export interface TreeParts {
  index: IndexReader;
  nodes: NodeSource;
  hasher: Hasher;
  mountsDir: string;
}

/** How often the trees of mounts are looked at when something seems to be wrong with them. */
const LOOKS = 3;

/**
 * Walks all trees of all snapshots and mounts, each object once: nodes are read and checked, chunks must have a place in a whole pack,
 * and each must be what every one that refers to it says: sound nodes in wrong places are damage. Remembers some bytes of each object.
 */
export async function verifyTrees(parts: TreeParts, findings: Findings, phases: Phases, signal?: AbortSignal): Promise<void> {
  const { index } = parts;
  const total = findings.collect(() => objectCount(index));
  phases.begin('checking trees', { of: 'objects', ...(total === undefined ? {} : { total }) });
  let walk = new TreeWalk(parts, findings, phases, { signal, objects: total });
  await walk.from(
    allSnapshots(index).map(({ snapshot }) => ({ kind: ObjectKind.snapshot, digest: snapshot, said: undefined })),
    findings,
  );
  for (let look = 1; ; look++) {
    const roots = rootsOfMounts(parts);
    const found = new Findings();
    await walk.from(
      roots.map((digest) => ({ kind: ObjectKind.manifestNode, digest, said: undefined })),
      found,
    );
    if (found.damage.length === 0) return;
    // A mount that has moved on needs its old tree no more, and a collection may have taken it.
    index.refresh();
    const now = new Set(rootsOfMounts(parts).map(digestToHex));
    if (look < LOOKS && !roots.every((root) => now.has(digestToHex(root)))) {
      // All of it is met once more.
      walk = new TreeWalk(parts, findings, new Phases({}), { signal });
      continue;
    }
    return findings.add(...found.damage);
  }
}

function rootsOfMounts({ mountsDir, hasher }: TreeParts): Digest[] {
  return mountRoots(listMounts(mountsDir, hasher));
}

/** Of a chunk its length, and 64 bits of its digest: one that is taken for another is not looked for. */
const CHUNK_WORDS = 3;
const CHUNK_KEY_BYTES = 8;
/** For more of them the memory grows as they are met: an index may be made up. */
const MAX_FORESEEN = 1 << 24;
/** Whether a subtree was seen has to be certain. */
const NODE_WORDS = 8;
/** Of a node and what is said of it, by the digest of both. */
const SAID_WORDS = 4;

class TreeWalk {
  private readonly parts: TreeParts;
  /** Among them which packs are damaged. */
  private readonly known: Findings;
  private readonly phases: Phases;
  private readonly signal: AbortSignal | undefined;
  private readonly chunks: DigestSet;
  private readonly agreed = new DigestSet(SAID_WORDS);
  /** Nodes and records whose children were met, by kind. */
  private readonly entered = [ObjectKind.contentNode, ObjectKind.manifestNode, ObjectKind.snapshot].map(
    (kind) => [kind, new DigestSet(NODE_WORDS)] as const,
  );
  private readonly chunkKey = Buffer.alloc(4 * CHUNK_WORDS);
  private readonly turns = new Turns();
  private met = 0;

  /** @param how `objects`: how many there may be */
  constructor(parts: TreeParts, known: Findings, phases: Phases, how: { signal?: AbortSignal | undefined; objects?: number | undefined }) {
    this.parts = parts;
    this.known = known;
    this.phases = phases;
    this.signal = how.signal;
    this.chunks = new DigestSet(CHUNK_WORDS, Math.min(how.objects ?? 0, MAX_FORESEEN));
  }

  async from(waiting: Due[], findings: Findings): Promise<void> {
    for (let due = waiting.pop(); due !== undefined; due = waiting.pop()) {
      const at = due;
      for (const below of findings.collect(() => this.check(at)) ?? []) waiting.push(below);
      if (this.turns.isOver()) {
        this.signal?.throwIfAborted();
        this.tell();
        await this.turns.next();
      }
    }
    this.tell();
  }

  private tell(): void {
    this.phases.advance(this.met);
    this.met = 0;
  }

  /** What an object that is met for the first time refers to. @throws DamageError */
  private check(due: Due): Due[] {
    const { kind, digest, said } = due;
    const [set, key] = kind === ObjectKind.chunk ? [this.chunks, this.keyOfChunk(due)] : [this.agreed, this.keyOfNode(due)];
    if (set.has(key)) return [];
    const { facts, below } = this.look(kind, digest, said);
    const fault = facts === undefined || said === undefined ? undefined : differenceOf(facts, said);
    // What lies below a node in a wrong place is no part of the tree.
    if (fault !== undefined) throw damagedObject(kind, digest, fault);
    set.add(key);
    const isNew = kind === ObjectKind.chunk || this.entered.find(([other]) => other === kind)![1].add(digest);
    if (isNew) this.met++;
    return isNew ? below : [];
  }

  private keyOfChunk({ digest, said }: Due): Uint8Array {
    this.chunkKey.set(digest.subarray(0, CHUNK_KEY_BYTES));
    // No chunk is so long: one of which that is said is never among those that were found to be as said.
    this.chunkKey.writeUInt32LE(Math.min(said !== undefined && 'length' in said ? said.length : 0, 0xffffffff), CHUNK_KEY_BYTES);
    return this.chunkKey;
  }

  private keyOfNode({ kind, digest, said }: Due): Uint8Array {
    return this.parts.hasher.digest(Buffer.concat([Uint8Array.of(kind), digest, Buffer.from(JSON.stringify(said ?? null))]));
  }

  private look(kind: ObjectKind, digest: Digest, said: Due['said']): { facts: Facts | undefined; below: Due[] } {
    const { index, nodes } = this.parts;
    const location = index.locate(kind, digest);
    if (location === undefined) throw damagedObject(kind, digest, 'is missing');
    if (this.known.get('pack', location.pack) !== undefined)
      throw damagedObject(kind, digest, `lies in pack ${location.pack}, which is damaged`);
    if (kind === ObjectKind.chunk) return { facts: { level: 0, length: location.length }, below: [] };
    const bytes = nodes.get(kind, digest);
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
