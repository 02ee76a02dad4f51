import type { Damage } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import { walkTree } from '../manifest/read.js';
import { damagedObject } from '../objects/verified-object.js';
import type { NodeSource } from '../objects/node-store.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { Reference } from '../snapshot/references.js';
import { contentReference, referencesOf } from '../snapshot/references.js';
import { MalformedError } from '../util/bytes.js';
import type { Findings } from './findings.js';

const OBJECTS_PER_TURN = 4096;

/** Walks all trees of all snapshots, each object once: nodes are read and checked, chunks must have a place in a whole pack. */
export async function verifyTrees(index: IndexReader, nodes: NodeSource, findings: Findings, signal?: AbortSignal): Promise<void> {
  const seen = new Set<string>();
  const waiting: Reference[] = allSnapshots(index).map(({ snapshot }) => ({ kind: ObjectKind.snapshot, digest: snapshot }));
  for (let reference = waiting.pop(); reference !== undefined; reference = waiting.pop()) {
    const at = reference;
    const key = objectMapKey(at.kind, at.digest);
    if (seen.has(key)) continue;
    seen.add(key);
    waiting.push(...(findings.collect(() => checked(index, nodes, findings, at)) ?? []));
    if (seen.size % OBJECTS_PER_TURN === 0) {
      signal?.throwIfAborted();
      await new Promise(setImmediate);
    }
  }
}

/** What a whole object refers to. @throws DamageError */
function checked(index: IndexReader, nodes: NodeSource, findings: Findings, { kind, digest }: Reference): Reference[] {
  const location = index.locate(kind, digest);
  if (location === undefined) throw damagedObject(kind, digest, 'is missing');
  if (findings.get('pack', location.pack) !== undefined)
    throw damagedObject(kind, digest, `lies in pack ${location.pack}, which is damaged`);
  return kind === ObjectKind.chunk ? [] : childrenOf(nodes, { kind, digest });
}

function childrenOf(nodes: NodeSource, { kind, digest }: Reference): Reference[] {
  try {
    return referencesOf(kind, nodes.get(kind, digest));
  } catch (error) {
    throw error instanceof MalformedError ? damagedObject(kind, digest, 'is malformed', error) : error;
  }
}

/** Tells of every damaged object which volumes, snapshots and paths need it. */
export function traceDamage(index: IndexReader, nodes: NodeSource, findings: Findings): void {
  const tainted = new Taint(nodes, findings);
  for (const { volume, snapshot } of allSnapshots(index)) {
    const record: Reference = { kind: ObjectKind.snapshot, digest: snapshot };
    if (!tainted.has(record)) continue;
    const affects = (path: string) => ({ volume, snapshot: digestToHex(snapshot), path });
    const own = tainted.damageOf(record);
    if (own !== undefined) {
      own.affects.push(affects(''));
      continue;
    }
    const { root } = decodeSnapshotRecord(nodes.get(ObjectKind.snapshot, snapshot));
    findings.collect(() => {
      for (const [path, entry] of walkTree(nodes, root, '')) {
        const top = entry.type === 'file' ? contentReference(entry.content) : undefined;
        if (top === undefined || !tainted.has(top)) continue;
        for (const damage of tainted.below(top)) damage.affects.push(affects(path));
      }
    });
    // A damaged manifest node hides which paths it held.
    if (root !== null)
      for (const damage of tainted.below({ kind: ObjectKind.manifestNode, digest: root }, ObjectKind.manifestNode))
        damage.affects.push(affects(''));
  }
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

  has(reference: Reference): boolean {
    const key = objectMapKey(reference.kind, reference.digest);
    let tainted = this.known.get(key);
    if (tainted === undefined) {
      tainted =
        this.damageOf(reference) !== undefined ||
        (reference.kind !== ObjectKind.chunk && childrenOf(this.nodes, reference).some((child) => this.has(child)));
      this.known.set(key, tainted);
    }
    return tainted;
  }

  /** The damaged objects below one, itself included; with `only`, without leaving objects of that kind. */
  *below(reference: Reference, only?: ObjectKind, seen = new Set<string>()): Generator<Damage> {
    const key = objectMapKey(reference.kind, reference.digest);
    if (seen.has(key) || !this.has(reference)) return;
    seen.add(key);
    const damage = this.damageOf(reference);
    if (damage !== undefined) yield damage;
    else if (reference.kind !== ObjectKind.chunk) {
      for (const child of childrenOf(this.nodes, reference))
        if (only === undefined || child.kind === only) yield* this.below(child, only, seen);
    }
  }
}

function allSnapshots(index: IndexReader): { volume: string; snapshot: Reference['digest'] }[] {
  return index
    .volumes()
    .flatMap((volume) => [...index.generations(volume.id)].map(({ snapshot }) => ({ volume: volume.name ?? '', snapshot })));
}
