import { describe } from 'vitest';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { asDigest, type Digest } from '../../packages/core/src/hash/digest.js';
import { crc32Of } from '../../packages/core/src/index/crc32.js';
import * as records from '../../packages/core/src/index/records.js';
import { objectKey } from '../../packages/core/src/index/keys.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { MAX_OBJECT_BYTES } from '../../packages/core/src/pack/footer.js';
import { packIdToBytes, type PackId } from '../../packages/core/src/pack/pack-id.js';
import { fuzz } from './fuzz.js';

const hasher = createHasher('auto');
const digest: Digest = hasher.digest(Buffer.from('an object'));
const KEY = objectKey(ObjectKind.chunk, digest);
const id = '00112233445566778899aabbccddeeff';

type Decode = (value: Uint8Array) => Uint8Array;

/** How each kind of record is read and written again, with records that are sound. */
const KINDS: { samples: Uint8Array[]; again: Decode }[] = [
  {
    samples: [records.encodeLocation(packIdToBytes(id as PackId), { offset: 4096, storedLength: 700, length: 9000, encoding: 1 })],
    again: (value) => {
      const location = records.decodeLocation(KEY, value);
      if (location.length > MAX_OBJECT_BYTES || location.storedLength > MAX_OBJECT_BYTES) throw new Error('an object of impossible length');
      return records.encodeLocation(packIdToBytes(location.pack), location);
    },
  },
  {
    samples: [records.encodePack({ id: id as PackId, sizeBytes: 1 << 28, objects: 300, owner: 'a0b1', epoch: 3 })],
    again: (value) => {
      const again = records.encodePack(records.decodePack(id as PackId, KEY, value));
      // Version 1 had 8 bytes of zeros more.
      return value.length === again.length + 8 ? Buffer.concat([again, Buffer.alloc(8)]) : again;
    },
  },
  {
    samples: [
      records.encodeVolume({ id: id as records.VolumeId, name: 'models', createdAtMs: 1, generation: 7, head: digest }),
      records.encodeVolume({ id: id as records.VolumeId, name: undefined, createdAtMs: 1, generation: 0, head: null, ephemeralOwner: 'x' }),
    ],
    again: (value) => records.encodeVolume(records.decodeVolume(id as records.VolumeId, KEY, value)),
  },
  {
    samples: [records.encodeAbsentPack(7)],
    again: (value) => records.encodeAbsentPack(records.decodeAbsentPack(id as PackId, KEY, value).condemnedEpoch),
  },
  {
    samples: [records.encodeDoomedPack({ condemnedEpoch: 7, sizeBytes: 2 ** 33 })],
    again: (value) => records.encodeDoomedPack(records.decodeDoomedPack(id as PackId, KEY, value)),
  },
  {
    samples: [records.encodeState({ seq: 1, epoch: 2, packs: 3, absentPacks: 0, packBytes: 5 })],
    again: (value) => {
      const again = records.encodeState(records.decodeState(KEY, value));
      // Version 1 had the same fields.
      if (value[0] === 1) again[0] = 1;
      return again;
    },
  },
  { samples: [digest], again: (value) => asDigest(records.decodeDigest(KEY, value)) },
  { samples: [records.encodeNumber(2 ** 40)], again: (value) => records.encodeNumber(records.decodeNumber(KEY, value)) },
  {
    samples: [records.encodeVolumeId(id as records.VolumeId)],
    again: (value) => records.encodeVolumeId(records.decodeVolumeId(KEY, value)),
  },
];

/** As stored: which kind it is in front, its check value behind. */
function stored(kind: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([kind]), records.seal(KEY, value)]);
}

describe('the index', () => {
  fuzz({
    name: 'record of the index',
    share: 110,
    samples: KINDS.flatMap(({ samples }, kind) => samples.map((value) => stored(kind, value))),
    fields: (bytes) => (bytes[0] === 0 ? [{ at: 17, bytes: 4 }, { at: 21, bytes: 2 }, { at: 25, bytes: 4 }, { at: 29, bytes: 4 }] : [{ at: 1, bytes: 8 }, { at: 9, bytes: 8 }]), // prettier-ignore
    reseal(bytes) {
      if (bytes.length < 5) return bytes;
      bytes.writeUInt32LE(crc32Of(KEY, bytes.subarray(1), bytes.length - 5), bytes.length - 4);
      return bytes;
    },
    check(bytes) {
      const kind = KINDS[(bytes[0] ?? 0) % KINDS.length]!;
      const value = records.unseal(KEY, bytes.subarray(1));
      const again = kind.again(value);
      if (Buffer.compare(again, value) !== 0) throw new Error(`read, and written as ${Buffer.from(again).toString('hex')}`);
    },
    memory: { perByte: 12, fixed: 2000 },
  });
});
