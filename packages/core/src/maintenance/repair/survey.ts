import type { Decoder } from '../../encoding/decoder.js';
import { isCairnError, type Damage, type DamageError } from '../../errors.js';
import { digestsEqual } from '../../hash/digest.js';
import type { Hasher } from '../../hash/hasher.js';
import { ObjectKind } from '../../hash/object-kind.js';
import { damagedObject } from '../../objects/object-reader.js';
import { listPacks } from '../../pack/list-packs.js';
import type { PackedObject } from '../../pack/object-table.js';
import { rows } from '../../pack/object-table.js';
import type { PackFiles } from '../../pack/pack-files.js';
import type { PackId } from '../../pack/pack-id.js';
import { readFooter } from '../../pack/read-footer.js';
import type { StoreLayout } from '../../pack/store-layout.js';
import type { Work } from '../../types.js';

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
export async function surveyPacks(access: PackAccess, { signal, onProgress }: Work): Promise<Survey> {
  const survey = { whole: [] as PackId[], broken: [] as BrokenPack[], chunks: 0, bytes: 0 };
  let files = 0;
  for (const id of listPacks(access.layout)) {
    signal?.throwIfAborted();
    const { objects, whole } = checkPack(access, id);
    for (const object of whole) {
      survey.bytes += object.length;
      if (object.kind === ObjectKind.chunk) survey.chunks++;
    }
    if (objects === whole.length) survey.whole.push(id);
    else survey.broken.push({ id, whole });
    onProgress?.({ phase: 'checking packs', bytes: survey.bytes, files: ++files, newBytes: 0 });
    await new Promise(setImmediate);
  }
  return survey;
}

/** How many objects a pack says that it has (one more than none where it cannot be read), and those that it really has. */
function checkPack(access: PackAccess, id: PackId): { objects: number; whole: PackedObject[] } {
  const whole: PackedObject[] = [];
  let objects = 0;
  const found = damageOf(() => {
    for (const object of rows(readFooter(access.layout.packPath(id), id, access.hasher).table)) {
      objects++;
      if (damageOf(() => readObject(access, id, object)).length === 0) whole.push(object);
    }
  });
  return { objects: found.length > 0 ? objects + 1 : objects, whole };
}

/** The stored bytes of an object, having proven that they are its. @throws DamageError */
export function readObject({ packs, hasher, decoder }: PackAccess, pack: PackId, object: PackedObject): Uint8Array {
  const { kind, digest, encoding, length, storedLength, offset } = object;
  const stored = packs.readSync(pack, offset, storedLength);
  const logical = new Uint8Array(length);
  try {
    decoder.decodeInto(encoding, stored, logical);
  } catch (error) {
    throw isCairnError(error) ? error : damagedObject(kind, digest, 'cannot be decoded', error);
  }
  if (!digestsEqual(hasher.digest(logical), digest)) throw damagedObject(kind, digest, 'does not match its digest');
  return stored;
}

function damageOf(action: () => void): Damage[] {
  try {
    action();
    return [];
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    return (error as DamageError).damage;
  }
}
