import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TRAILER_BYTES = 80;
const ROW_BYTES = 56;
const AT = { tableOffset: 16, offset: 32, storedLength: 40, kind: 48 } as const;
const MANIFEST_NODE = 2;

/** Alters one stored byte of an object, in the packs of a store that nobody has open, as docs/format.md draws them. */
export function damageObject(storeDir: string, id: string): void {
  eachRow(storeDir, (row) => row.id === id);
}

/** Alters the manifest nodes that were stored together with a snapshot record. */
export function damageTreeOf(storeDir: string, snapshotId: string): void {
  const packs = new Set<string>();
  eachRow(storeDir, (row) => (row.id === snapshotId && packs.add(row.pack), false), 0);
  eachRow(storeDir, (row) => packs.has(row.pack) && row.kind === MANIFEST_NODE);
}

interface Row {
  pack: string;
  id: string;
  kind: number;
}

function eachRow(storeDir: string, isHit: (row: Row) => boolean, atLeast = 1): void {
  let hits = 0;
  const packs = join(storeDir, 'packs');
  for (const name of readdirSync(packs, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.pack')) continue;
    const file = join(packs, name);
    const bytes = readFileSync(file);
    const end = bytes.length - TRAILER_BYTES;
    for (let row = Number(bytes.readBigUInt64LE(end + AT.tableOffset)); row < end; row += ROW_BYTES) {
      if (!isHit({ pack: name, id: bytes.toString('hex', row, row + 32), kind: bytes[row + AT.kind]! })) continue;
      const at = Number(bytes.readBigUInt64LE(row + AT.offset)) + (bytes.readUInt32LE(row + AT.storedLength) >> 1);
      bytes[at]! ^= 0x10;
      hits++;
      writeFileSync(file, bytes);
    }
  }
  if (hits < atLeast) throw new Error('nothing was damaged');
}
