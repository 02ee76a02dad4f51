import { IngestTally } from '../../packages/core/dist/ingest/ingest.js';
import { buildContent } from '../../packages/core/dist/content/content.js';
import { ObjectKind } from '../../packages/core/dist/hash/object-kind.js';
import { IndexEnvironment } from '../../packages/core/dist/index/environment.js';
import { writeIndex } from '../../packages/core/dist/index/transaction.js';
import { editManifest } from '../../packages/core/dist/manifest/edit.js';
import { Staging } from '../../packages/core/dist/objects/staging.js';
import { TableBuilder } from '../../packages/core/dist/pack/object-table.js';
import { newPackId } from '../../packages/core/dist/pack/pack-id.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { commitTree } from '../../packages/core/dist/volume/commit.js';
import { input, say } from './say.mjs';

/*
 * Makes a store whose index knows so many `chunks`, and a version that needs all of them, without their bytes: a collection reads trees
 * and index, and packs only to copy out of them. Beside it a few real versions, of which a prune leaves one.
 */
const { dir, chunks } = input;
const CHUNK_BYTES = 64 << 10;
const ROWS_A_PACK = 1024;
const ROWS_A_TRANSACTION = 1 << 16;
const CHUNKS_A_FILE = 1 << 16;

const noise = (seed) => Buffer.from(Uint32Array.from({ length: 1 << 16 }, (_, i) => Math.imul(i ^ seed, 0x9e3779b1) ^ (i << 7)).buffer);

// Bringing small packs together would take those along that nothing needs.
const options = { workers: 1, mergeSmallPacks: false };
let store = await openStoreOn({ durable: false }, dir, options);
const small = await store.volumes.fromName('small', { createIfMissing: true });
for (let i = 1; i <= 4; i++) {
  await small.writeFile('file', noise(i));
  await small.commit({ message: String(i) });
}
await small.prune({ keepLast: 1 });
await store.volumes.create('large');
await store.close();

const env = IndexEnvironment.open(new StoreLayout(dir).indexDir, { durable: false });
for (let from = 0; from < chunks; from += ROWS_A_TRANSACTION) {
  writeIndex(env, (index) => {
    const end = Math.min(chunks, from + ROWS_A_TRANSACTION);
    for (let first = from; first < end; first += ROWS_A_PACK) {
      const table = new TableBuilder();
      for (let i = first; i < Math.min(end, first + ROWS_A_PACK); i++)
        table.add({
          digest: digestOf(i),
          kind: ObjectKind.chunk,
          offset: table.count * CHUNK_BYTES,
          storedLength: CHUNK_BYTES,
          length: CHUNK_BYTES,
          encoding: 0,
        });
      const pack = { id: newPackId(), sizeBytes: table.count * (CHUNK_BYTES + 56) + 80, table: table.finish() };
      index.putPack(pack, '');
      index.putObjects(pack.id, pack.table);
    }
  });
}
await env.close();

store = await openStoreOn({ durable: false }, dir, options);
const { engine } = store;
const grip = engine.lease.hold(store);
const volume = engine.index.volumeByName('large');
const files = Math.max(1, Math.ceil(chunks / CHUNKS_A_FILE));
const entries = [];
for (let file = 0; file < files; file++) {
  const staging = new Staging(engine.nodes, engine.hasher);
  const content = buildContent(staging, chunksOf(file));
  await engine.publisher.writeObjects(staging.drain());
  entries.push([`file-${file}`, { type: 'file', content, executable: false, mtimeNs: 0n }]);
}
const staging = new Staging(engine.nodes, engine.hasher);
await commitTree({
  engine,
  staging,
  volumeId: volume.id,
  volumeName: 'large',
  tally: new IngestTally(),
  base: { generation: 0, snapshot: null, root: null },
  ours: editManifest(staging, staging, null, entries),
  options: { refuseFileOverFolder: false },
});
grip.release();
await store.close();
say('made', { chunks });

/** Chunks from all over the index, as those of a file are that was stored over time. */
function* chunksOf(file) {
  for (let i = file; i < chunks; i += files) yield { digest: digestOf(i), length: CHUNK_BYTES };
}

/** Ascending, so that they go into the index as fast as it takes them; what follows the first bytes is as good as random. */
function digestOf(i) {
  const digest = Buffer.alloc(32);
  digest.writeBigUInt64BE((BigInt(i) * 0xffffffffffffffffn) / BigInt(chunks));
  let state = i + 1;
  for (let at = 8; at < 32; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    digest.writeUInt32LE((state ^ (state >>> 12)) >>> 0, at);
  }
  return new Uint8Array(digest);
}
