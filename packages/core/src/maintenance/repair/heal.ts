import fs from 'node:fs';
import path from 'node:path';
import { unlessDamaged, type Damage } from '../../errors.js';
import { digestFromHex } from '../../hash/digest.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { LocalSource } from '../../ingest/ingest.js';
import type { NodeSource } from '../../objects/node-store.js';
import { Staging, type StagedObject } from '../../objects/staging.js';
import type { Work } from '../../types.js';
import type { Engine } from '../../volume/engine.js';
import { Phases } from '../phases.js';

/** Bytes of objects that are handed on at a time. */
const GROUP_BYTES = 64 << 20;

/** Takes what is missing from another store, which may have damage of its own. */
export async function healFromStore(engine: Engine, damage: readonly Damage[], other: NodeSource, work: Work): Promise<void> {
  const phases = new Phases(work);
  phases.begin('taking what is missing from the other store', { of: 'objects', total: damage.length });
  let group: StagedObject[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    if (group.length > 0) await engine.publisher.writeObjects(group, { mayLack: true });
    [group, bytes] = [[], 0];
    engine.index.refresh();
  };
  for (const object of found(damage, other)) {
    work.signal?.throwIfAborted();
    group.push(object);
    phases.advance(1, object.bytes.byteLength);
    if ((bytes += object.bytes.byteLength) >= GROUP_BYTES) await flush();
  }
  await flush();
}

function* found(damage: readonly Damage[], other: NodeSource): Generator<StagedObject> {
  for (const { kind, id } of damage) {
    // Whether a node is one of contents or of a manifest is not said: only the right kind has that digest.
    const kinds: Partial<Record<Damage['kind'], ObjectKind[]>> = {
      chunk: [ObjectKind.chunk],
      node: [ObjectKind.contentNode, ObjectKind.manifestNode],
      snapshot: [ObjectKind.snapshot],
    };
    for (const candidate of kinds[kind] ?? []) {
      const digest = digestFromHex(id);
      const bytes = unlessDamaged(() => other.get(candidate, digest));
      if (bytes === undefined) continue;
      yield { kind: candidate, digest, bytes };
      break;
    }
  }
}

/**
 * Stores a file, or all files below a folder, once more: what the store has is found to be there, and what it lacks of them
 * is there afterwards, chunks and content trees alike. What it has no use for waits for the next collection.
 */
export async function healFromFiles(engine: Engine, start: string, work: Work): Promise<void> {
  const staging = new Staging(engine.nodes, engine.hasher);
  for await (const _stored of engine.ingest.files(filesBelow(start), { ...work, sink: staging })) {
    // Only what is missing: what lies in packs that do not count yet needs no second copy.
    const missing = staging.drain().filter(({ kind, digest }) => engine.index.locate(kind, digest) === undefined);
    if (missing.length > 0) await engine.publisher.writeObjects(missing, { mayLack: true });
    engine.index.refresh();
  }
}

function* filesBelow(start: string): Generator<LocalSource> {
  const stat = fs.statSync(start);
  if (stat.isFile()) yield { path: start, stat };
  if (!stat.isDirectory()) return;
  for (const child of fs.readdirSync(start, { withFileTypes: true })) {
    if (child.isDirectory() || child.isFile()) yield* filesBelow(path.join(start, child.name));
  }
}
