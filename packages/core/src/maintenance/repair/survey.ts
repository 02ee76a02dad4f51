import fs from 'node:fs';
import type { Decoder } from '../../encoding/decoder.js';
import { unlessDamaged } from '../../errors.js';
import type { Hasher } from '../../hash/hasher.js';
import { ObjectKind } from '../../hash/object-kind.js';
import { checkDigest, decodeObject } from '../../objects/verified-object.js';
import { listPacks } from '../../pack/list-packs.js';
import type { PackedObject } from '../../pack/object-table.js';
import { rowCount, rows } from '../../pack/object-table.js';
import type { PackFiles } from '../../pack/pack-files.js';
import type { PackId } from '../../pack/pack-id.js';
import { readFooter } from '../../pack/read-footer.js';
import type { StoreLayout } from '../../pack/store-layout.js';
import type { Phases } from '../phases.js';

/** A pack with something damaged in it, and its objects that are whole; none where the footer is lost. */
export interface BrokenPack {
  readonly id: PackId;
  readonly whole: readonly PackedObject[];
}

/** What a look at every byte of every pack found. */
export interface Survey {
  readonly whole: readonly PackId[];
  readonly broken: readonly BrokenPack[];
  readonly chunks: number;
  /** Logical bytes that are whole. */
  readonly bytes: number;
}

/** What reads packs: none of it needs an index. */
export interface PackAccess {
  readonly layout: StoreLayout;
  readonly packs: PackFiles;
  readonly hasher: Hasher;
  readonly decoder: Decoder;
}

/** Reads all packs. @throws what keeps the folders from being listed, or a file from being read: half a look proves nothing. */
export async function surveyPacks(access: PackAccess, phases: Phases, signal?: AbortSignal): Promise<Survey> {
  const survey = { whole: [] as PackId[], broken: [] as BrokenPack[], chunks: 0, bytes: 0 };
  const sizes = [...listPacks(access.layout)].map((id) => ({ id, sizeBytes: sizeOf(access.layout.packPath(id)) }));
  const totalBytes = sizes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  phases.begin('reading packs', { of: 'packs', total: sizes.length, totalBytes });
  for (const { id, sizeBytes } of sizes) {
    signal?.throwIfAborted();
    const { whole, isWhole } = checkPack(access, id);
    for (const object of whole) {
      survey.bytes += object.length;
      if (object.kind === ObjectKind.chunk) survey.chunks++;
    }
    if (isWhole) survey.whole.push(id);
    else survey.broken.push({ id, whole });
    phases.advance(1, sizeBytes);
    await new Promise(setImmediate);
  }
  return survey;
}

/** 0 where the system does not tell: reading it will say why. */
function sizeOf(path: string): number {
  try {
    return fs.statSync(path).size;
  } catch {
    return 0;
  }
}

/** The objects of a pack that are whole, and whether these are all that it should have. */
function checkPack(access: PackAccess, id: PackId): { whole: PackedObject[]; isWhole: boolean } {
  const table = unlessDamaged(() => readFooter(access.layout.packPath(id), id, access.hasher).table);
  if (table === undefined) return { whole: [], isWhole: false };
  const whole = [...rows(table)].filter((object) => unlessDamaged(() => readObject(access, id, object)) !== undefined);
  return { whole, isWhole: whole.length === rowCount(table) };
}

/** The stored bytes of an object, having proven that they are its. @throws DamageError */
export function readObject({ packs, hasher, decoder }: PackAccess, pack: PackId, object: PackedObject): Uint8Array {
  const stored = packs.readSync(pack, object.offset, object.storedLength);
  const logical = new Uint8Array(object.length);
  decodeObject(decoder, object, object.encoding, stored, logical);
  checkDigest(hasher, object, logical);
  return stored;
}
