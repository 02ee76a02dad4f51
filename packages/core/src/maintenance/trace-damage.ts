import { detectLayout, tensorsOf } from '../chunking/layout.js';
import type { TensorHeader } from '../chunking/tensor-header.js';
import { chunksOf, contentId, type ContentId, type ContentRef } from '../content/content.js';
import { decodeContentNode } from '../content/node.js';
import { unlessDamaged, type Damage } from '../errors.js';
import { digestToHex, type Digest } from '../hash/digest.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { keyToPath } from '../manifest/keys.js';
import { decodeManifestNode } from '../manifest/node.js';
import { type MountState, rootsOf } from '../mount/state.js';
import type { NodeSource } from '../objects/node-store.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import { contentReference, referencesOf, type Reference } from '../snapshot/references.js';
import type { Findings } from './findings.js';
import { allSnapshots } from './verify-trees.js';

/** Chunks that are read for the header of one file: many times what any header takes. A file made to need more has no tensors named. */
const MAX_HEADER_CHUNKS = 4096;

/** A damaged object in a file, and the bytes of the file that it hides. */
interface Hole {
  damage: Damage;
  start: number;
  end: number;
}

/** What a hole touches: tensors by name, undefined for bytes that belong to none. */
interface Touched {
  damage: Damage;
  tensors: (string | undefined)[];
}

/**
 * Tells of every damaged object which volumes, snapshots, paths and tensors need it. What a damaged node of a manifest hides is not
 * known: of such a snapshot it says that with an empty path, beside all paths that can still be read.
 */
export function traceDamage(index: IndexReader, nodes: NodeSource, findings: Findings, mounts: readonly MountState[] = []): void {
  if (findings.damage.every(({ kind }) => kind === 'mount' || kind === 'index')) return;
  const taint = new Taint(nodes, findings);
  const trace = new Trace(nodes, taint);
  for (const { volume, snapshot } of allSnapshots(index)) {
    const record: Reference = { kind: ObjectKind.snapshot, digest: snapshot };
    if (!taint.has(record)) continue;
    const where = { volume, snapshot: digestToHex(snapshot) };
    const own = taint.damageOf(record);
    if (own === undefined) trace.tree(decodeSnapshotRecord(nodes.get(ObjectKind.snapshot, snapshot)).root, where);
    else own.affects.push({ ...where, path: '' });
  }
  for (const mount of mounts) {
    const where = { volume: index.volumeById(mount.volume)?.name ?? '', snapshot: '', mount: mount.dir };
    for (const root of rootsOf(mount)) if (!trace.hasMet(root)) trace.tree(root, where);
  }
}

/** Adds to damage what it touches. */
class Trace {
  private readonly nodes: NodeSource;
  private readonly taint: Taint;
  private readonly contents = new Map<ContentId, Touched[]>();
  private readonly roots = new Set<string>();

  constructor(nodes: NodeSource, taint: Taint) {
    this.nodes = nodes;
    this.taint = taint;
  }

  hasMet(root: Digest): boolean {
    return this.roots.has(digestToHex(root));
  }

  tree(root: ManifestRoot, where: Omit<Damage['affects'][number], 'path' | 'tensor'>): void {
    if (root === null) return;
    const { nodes, taint, contents } = this;
    this.roots.add(digestToHex(root));
    for (const found of taintedEntries(taint, nodes, root)) {
      if (!('path' in found)) {
        found.damage.affects.push({ ...where, path: '' });
        continue;
      }
      const { path, content } = found;
      const key = contentId(content);
      if (!contents.has(key)) contents.set(key, touched(taint, nodes, content));
      for (const { damage, tensors } of contents.get(key)!)
        for (const tensor of tensors) damage.affects.push({ ...where, path, ...(tensor === undefined ? {} : { tensor }) });
    }
  }
}

/** Files with something damaged below them, and damaged nodes in the place of others. */
function* taintedEntries(
  taint: Taint,
  nodes: NodeSource,
  root: Digest,
): Generator<{ path: string; content: ContentRef } | { damage: Damage }> {
  const waiting: Digest[] = [root];
  const hiding = new Set<Damage>();
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    const reference = { kind: ObjectKind.manifestNode, digest };
    const damage = taint.damageOf(reference);
    if (damage !== undefined) {
      if (!hiding.has(damage)) yield { damage };
      hiding.add(damage);
      continue;
    }
    if (!taint.has(reference)) continue;
    const node = decodeManifestNode(nodes.get(ObjectKind.manifestNode, digest));
    for (let i = 0; i < node.count; i++) {
      if (node.level > 0) {
        waiting.push(node.child(node.count - 1 - i).digest);
        continue;
      }
      const entry = node.entry(i);
      const top = entry.type === 'file' ? contentReference(entry.content) : undefined;
      if (entry.type === 'file' && top !== undefined && taint.has(top)) yield { path: keyToPath(node.keys[i]!), content: entry.content };
    }
  }
}

function touched(taint: Taint, nodes: NodeSource, content: ContentRef): Touched[] {
  const byDamage = new Map<Damage, Set<string | undefined>>();
  // The damage may be in the file's own header.
  const tensors = unlessDamaged(() => headersOf(nodes, content)) ?? [];
  const top = contentReference(content);
  for (const { damage, start, end } of top === undefined ? [] : holes(taint, nodes, top, 0, content.length)) {
    const names = byDamage.get(damage) ?? new Set();
    byDamage.set(damage, names);
    const hit = overlapping(tensors, start, end);
    if (hit.length === 0) names.add(undefined);
    for (const { name } of hit) names.add(name);
  }
  return [...byDamage].map(([damage, names]) => ({ damage, tensors: [...names] }));
}

function* holes(taint: Taint, nodes: NodeSource, { kind, digest }: Reference, start: number, end: number): Generator<Hole> {
  const damage = taint.damageOf({ kind, digest });
  if (damage !== undefined) yield { damage, start, end };
  else if (kind === ObjectKind.contentNode && taint.has({ kind, digest })) {
    const node = decodeContentNode(nodes.get(kind, digest));
    const below = node.level === 1 ? ObjectKind.chunk : ObjectKind.contentNode;
    for (let i = 0; i < node.count; i++)
      yield* holes(taint, nodes, { kind: below, digest: node.entry(i).digest }, start + node.start(i), start + node.start(i + 1));
  }
}

/** The tensors of a file by offset; none where it is none of weights. @throws DamageError */
function headersOf(nodes: NodeSource, content: ContentRef): TensorHeader[] {
  const read: Uint8Array[] = [];
  const chunks = chunksOf(nodes, content);
  for (let bytes = 0, need = 1; read.length < MAX_HEADER_CHUNKS;) {
    const next = chunks.next();
    if (next.done !== true) {
      read.push(nodes.get(ObjectKind.chunk, next.value.digest));
      bytes += next.value.length;
      if (bytes < need) continue;
    }
    const prefix = Buffer.concat(read);
    const found = detectLayout(prefix, next.done === true);
    if ('layout' in found) return tensorsOf(prefix);
    need = found.need;
  }
  return [];
}

/** Of tensors in the order of their offsets, those with bytes in [start, end). */
function overlapping(tensors: readonly TensorHeader[], start: number, end: number): TensorHeader[] {
  let [low, high] = [0, tensors.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tensors[middle]!.offset + tensors[middle]!.size > start) high = middle;
    else low = middle + 1;
  }
  const hit: TensorHeader[] = [];
  for (let i = low; i < tensors.length && tensors[i]!.offset < end; i++) if (tensors[i]!.size > 0) hit.push(tensors[i]!);
  return hit;
}

/** Which objects are damaged, or refer to something that is. */
class Taint {
  private readonly nodes: NodeSource;
  private readonly findings: Findings;
  private readonly known = new Map<string, boolean>();

  constructor(nodes: NodeSource, findings: Findings) {
    this.nodes = nodes;
    this.findings = findings;
  }

  damageOf({ kind, digest }: Reference): Damage | undefined {
    return this.findings.get(kind === ObjectKind.chunk ? 'chunk' : kind === ObjectKind.snapshot ? 'snapshot' : 'node', digestToHex(digest));
  }

  /** Levels are sound where nothing is damaged, so this goes no deeper than trees are high. */
  has(reference: Reference): boolean {
    // Nothing lies below a chunk, and there are too many of them to remember each.
    if (reference.kind === ObjectKind.chunk) return this.damageOf(reference) !== undefined;
    const key = objectMapKey(reference.kind, reference.digest);
    let tainted = this.known.get(key);
    if (tainted === undefined) {
      tainted = this.damageOf(reference) !== undefined || this.below(reference).some((child) => this.has(child));
      this.known.set(key, tainted);
    }
    return tainted;
  }

  /** Nothing of an object that was damaged since it was looked at: the next check says so. */
  private below({ kind, digest }: Reference): Reference[] {
    if (kind === ObjectKind.chunk) return [];
    return unlessDamaged(() => referencesOf(kind, this.nodes.get(kind, digest))) ?? [];
  }
}
