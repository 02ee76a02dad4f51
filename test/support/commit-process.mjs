// Commits files one after another as a process of its own, through the built package, and writes a line per acknowledged one.
// Usage: node commit-process.mjs '{"dir","volumeId","prefix","count","faults"?,"close"?,"exitAfterMs"?}'
import { writeSync } from 'node:fs';
import { openDisk } from '../../packages/core/dist/disk/open-disk.js';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { IndexEnvironment } from '../../packages/core/dist/index/environment.js';
import { IndexReader } from '../../packages/core/dist/index/reader.js';
import { editManifest } from '../../packages/core/dist/manifest/edit.js';
import { ObjectReader } from '../../packages/core/dist/objects/object-reader.js';
import { Staging } from '../../packages/core/dist/objects/staging.js';
import { PackFiles } from '../../packages/core/dist/pack/pack-files.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import { OwnLease } from '../../packages/core/dist/publish/own-lease.js';
import { Publisher } from '../../packages/core/dist/publish/publisher.js';
import { decodeSnapshotRecord } from '../../packages/core/dist/snapshot/record.js';
import { stagedBelow } from '../../packages/core/dist/snapshot/staged-below.js';

const { dir, volumeId, prefix, count, faults, close = true, exitAfterMs } = JSON.parse(process.argv[2]);
const disk = {
  durable: false,
  ...(faults === undefined ? {} : { module: new URL('./faulty-disk.mjs', import.meta.url).href, options: faults }),
};
const layout = new StoreLayout(dir);
const env = IndexEnvironment.open(layout.indexDir, { durable: false });
const reader = new IndexReader(env);
const hasher = createHasher();
const objects = new ObjectReader(reader, new PackFiles(layout), hasher);
const lease = new OwnLease({
  disk: await openDisk(disk),
  layout,
  index: reader,
  identity: env.identity,
  writable: true,
  warn: () => undefined,
});
lease.ensure();
const publisher = new Publisher({ dir, disk, hash: 'auto', compression: 'fast', index: env.identity }, lease);

// Counted from the first commit on.
const exit = () => exitAfterMs !== undefined && setTimeout(() => process.exit(0), exitAfterMs);
for (let i = 0; i < count; i++) {
  reader.refresh();
  const { generation, head } = reader.volumeById(volumeId);
  const root = head === null ? null : decodeSnapshotRecord(objects.get(3, head)).root;
  const staging = new Staging(objects, hasher);
  const name = `${prefix}${i}`;
  const bytes = new TextEncoder().encode(name);
  const content = { height: 0, root: staging.put(0, bytes), length: bytes.byteLength };
  const ours = editManifest(staging, staging, root, new Map([[name, { type: 'file', executable: false, mtimeNs: 0n, content }]]));
  await publisher.commit({
    volumeId,
    base: { generation, root },
    ours,
    message: name,
    metadata: {},
    createdAtMs: 1,
    newBytes: 0,
    keepUnchanged: false,
    policy: 'fail',
    refuseFileOverFolder: false,
    objects: [...stagedBelow(staging, ours)],
  });
  writeSync(1, `${name}\n`);
  if (i === 0) exit();
}
if (close) {
  await publisher.close();
  lease.remove();
  await env.close();
}
