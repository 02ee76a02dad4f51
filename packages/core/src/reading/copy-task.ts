import { unlessDamaged } from '../errors.js';
import { checkDigest, decodeObject } from '../objects/verified-object.js';
import { readRow, rowCount, type PackedObject } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';
import { PackWriter } from '../pack/pack-writer.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';
import type { CopyResult, CopyTask } from './messages.js';

/** Copies objects, as they are stored, into one new pack, having proven each of them. What is damaged stays where it is. */
export async function copyObjects(environment: WorkerEnvironment, task: CopyTask): Promise<CopyResult> {
  const control = new OperationControl(task.control);
  const writer = new PackWriter(await environment.shelfOf(task.lease), environment.packBuffers);
  const damaged = new Set<PackId>();
  try {
    for (const { pack, rows } of task.sources) {
      for (let row = 0; row < rowCount(rows); row++) {
        control.check();
        const object = readRow(rows, row);
        const stored = unlessDamaged(() => provenBytes(environment, pack, object));
        if (stored === undefined) damaged.add(pack);
        else await writer.append(object.kind, object.digest, object.encoding, object.length, stored);
        control.advance(object.storedLength);
      }
    }
    return { pack: await writer.seal(), damaged: [...damaged] };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function provenBytes(environment: WorkerEnvironment, pack: PackId, { kind, digest, ...place }: PackedObject): Uint8Array {
  const { encoding, length, storedLength, offset } = place;
  const stored = environment.packs.readSync(pack, offset, storedLength, environment.stored(storedLength));
  const logical = environment.logical(length);
  decodeObject(environment.decoder, { kind, digest }, encoding, stored, logical);
  checkDigest(environment.hasher, { kind, digest }, logical);
  return stored;
}
