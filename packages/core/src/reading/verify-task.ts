import { collectDamage } from '../errors.js';
import { checkDigest, decodeObject } from '../objects/verified-object.js';
import type { PackedObject } from '../pack/object-table.js';
import { rows } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import { StoreLayout } from '../pack/store-layout.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';
import type { PackCheck, VerifyPackTask } from './messages.js';

/** Reads a whole pack again: footer, payloads, decoding, digests. What is damaged is reported; errors of the system are thrown. */
export async function verifyPack(environment: WorkerEnvironment, task: VerifyPackTask): Promise<PackCheck> {
  const control = new OperationControl(task.control);
  const check: PackCheck = { objects: 0, bytes: 0, damage: [] };
  collectDamage(check.damage, () => {
    const { table } = readFooter(new StoreLayout(environment.config.dir).packPath(task.id), task.id, environment.hasher);
    for (const object of rows(table)) {
      control.check();
      check.objects++;
      collectDamage(check.damage, () => {
        verifyObject(environment, task.id, object);
        check.bytes += object.length;
        control.advance(object.length);
      });
    }
  });
  return check;
}

function verifyObject(
  environment: WorkerEnvironment,
  pack: PackId,
  { kind, digest, encoding, length, storedLength, offset }: PackedObject,
): void {
  const stored = environment.packs.readSync(pack, offset, storedLength, environment.stored(storedLength));
  const logical = environment.logical(length);
  decodeObject(environment.decoder, { kind, digest }, encoding, stored, logical);
  checkDigest(environment.hasher, { kind, digest }, logical);
}
