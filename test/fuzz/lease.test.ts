import { describe } from 'vitest';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { crc32Of } from '../../packages/core/src/index/crc32.js';
import {
  decodeLease,
  encodeClaims,
  encodeHolder,
  LEASE_BYTES,
  MAX_PINS,
  slotPosition,
} from '../../packages/core/src/publish/lease-file.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';
import { fuzz } from './fuzz.js';
import type { Field } from './mutate.js';

const digest = createHasher('auto').digest(Buffer.from('a snapshot'));
const parts = [
  { at: 0, end: slotPosition(0) },
  { at: slotPosition(0), end: slotPosition(1) },
  { at: slotPosition(1), end: LEASE_BYTES },
];

function lease(): Uint8Array {
  const bytes = new Uint8Array(LEASE_BYTES);
  const index = { dev: 11, ino: 12 };
  bytes.set(encodeHolder({ pid: 7, startTime: 8, bootId: 'boot', pidNamespace: 9, createdAtMs: 10, index }));
  bytes.set(encodeClaims(4, { since: 5, pins: [digest], pendingEpoch: null }), slotPosition(4));
  bytes.set(encodeClaims(5, { since: 6, pins: [], pendingEpoch: 3 }), slotPosition(5));
  return bytes;
}

describe('a lease', () => {
  fuzz({
    name: 'lease',
    share: 40,
    samples: [lease()],
    fields: (): Field[] => [
      { at: 1, bytes: 4 },
      { at: 5, bytes: 8 },
      ...[slotPosition(0), slotPosition(1)].flatMap((at): Field[] => [
        { at, bytes: 8 },
        { at: at + 8, bytes: 8 },
        { at: at + 25, bytes: 2 },
      ]),
    ],
    reseal(bytes) {
      for (const { at, end } of parts) {
        if (bytes.length < end) continue;
        const part = bytes.subarray(at, end - 4);
        bytes.writeUInt32LE(crc32Of(new Uint8Array(), part, part.length), end - 4);
      }
      return bytes;
    },
    check(bytes) {
      const read = decodeLease('0'.repeat(32), bytes);
      if (read === undefined) throw new MalformedError('no lease');
      if (read.pins.length > MAX_PINS) throw new Error('more pins than there is room for');
    },
    memory: { perByte: 12, fixed: 100_000 },
  });
});
