import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
// Worker threads run the built package, so all of the engine comes from there.
import { WasmGearScanner } from '../../packages/core/dist/chunking/gear.js';
import { chunkBytes } from '../../packages/core/dist/chunking/layout-cuts.js';
import { buildContent, type ContentRef } from '../../packages/core/dist/content/content.js';
import type { DiskSpec } from '../../packages/core/dist/disk/disk.js';
import { openDisk } from '../../packages/core/dist/disk/open-disk.js';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { digestToHex } from '../../packages/core/dist/hash/digest.js';
import { IndexEnvironment } from '../../packages/core/dist/index/environment.js';
import { IndexReader } from '../../packages/core/dist/index/reader.js';
import { ClaimTable } from '../../packages/core/dist/ingest/claims.js';
import { Ingest, IngestTally } from '../../packages/core/dist/ingest/ingest.js';
import { ObjectReader } from '../../packages/core/dist/objects/object-reader.js';
import { Staging } from '../../packages/core/dist/objects/staging.js';
import { listIncoming, listPacks } from '../../packages/core/dist/pack/list-packs.js';
import { rows } from '../../packages/core/dist/pack/object-table.js';
import { PackFiles } from '../../packages/core/dist/pack/pack-files.js';
import { readFooter } from '../../packages/core/dist/pack/read-footer.js';
import { createStoreFolders } from '../../packages/core/dist/pack/store-format.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import type { Hasher } from '../../packages/core/dist/hash/hasher.js';
import { Publisher } from '../../packages/core/dist/publish/publisher.js';
import { DataReader } from '../../packages/core/dist/reading/data-reader.js';
import { WorkerPool } from '../../packages/core/dist/workers/pool.js';
import { Pressure } from '../../packages/core/dist/workers/pressure.js';
import { tempDir } from '../support/temp-dir.js';

/** An engine without volumes. */
export interface TestEngine {
  layout: StoreLayout;
  hasher: Hasher;
  index: IndexReader;
  nodes: ObjectReader;
  pool: WorkerPool;
  ingest: Ingest;
  data: DataReader;
  staging: Staging;
  close: () => Promise<void>;
}

/** The layers below volumes, wired as an open store wires them, over a new store. Closed when the test is done. */
export async function openEngine(options: { workers?: number; disk?: DiskSpec } = {}): Promise<TestEngine> {
  const engine = await makeEngine(join(tempDir(), 'store'), options);
  onTestFinished(engine.close);
  return engine;
}

/** One engine for all tests of a suite: threads take a while to start. Call it in `describe`. */
export function sharedEngine(): () => TestEngine {
  let engine: TestEngine;
  let dir: string;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'cairn-test-'));
    engine = await makeEngine(join(dir, 'store'), {});
  });
  afterAll(async () => {
    await engine.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return () => engine;
}

async function makeEngine(dir: string, options: { workers?: number; disk?: DiskSpec }): Promise<TestEngine> {
  const { workers = 2, disk = { durable: false } } = options;
  const layout = new StoreLayout(dir);
  const ownDisk = await openDisk({ durable: false });
  createStoreFolders(ownDisk, layout);
  mkdirSync(layout.indexDir, { recursive: true });
  const hasher = createHasher('auto');
  const environment = IndexEnvironment.open(layout.indexDir, { durable: false });
  const index = new IndexReader(environment);
  const nodes = new ObjectReader(index, new PackFiles(layout), hasher);
  const claims = new ClaimTable();
  const index1 = { durable: false, expected: environment.identity };
  const pool = new WorkerPool(
    { dir: layout.dir, disk, index: index1, hash: 'auto', compression: 'fast', claims: claims.memory, pressure: new Pressure().memory },
    workers,
  );
  const publisher = new Publisher(
    { dir: layout.dir, disk: { durable: false }, hash: 'auto', compression: 'fast', index: environment.identity },
    { id: '1'.repeat(32), pendingEpoch: null },
  );
  const ingest = new Ingest({ workers: pool, publisher, claims });
  const data = new DataReader({ workers: pool, disk: ownDisk, index, layout, hasher });
  const close = async (): Promise<void> => {
    await pool.close();
    await publisher.close();
    data.close();
    await index.close();
  };
  return { layout, hasher, index, nodes, pool, ingest, data, staging: new Staging(nodes, hasher), close };
}

/** Deterministic bytes without repetition. */
export function randomBytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed + 1) * 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    words[i] = t ^ (t >>> 14);
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** A safetensors file with tensors of these lengths, in bytes, and `tail` bytes behind the last one. */
export function safetensors(lengths: number[], seed: number, tail = 0): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [i, length] of lengths.entries()) {
    header[`layer.${i}`] = {
      dtype: i % 2 === 0 ? 'F32' : 'I8',
      shape: i % 2 === 0 ? [length / 4] : [length],
      data_offsets: [end, end + length],
    };
    end += length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.byteLength + end + tail);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  bytes.set(json, 8);
  bytes.set(randomBytes(end + tail, seed), 8 + json.byteLength);
  return bytes;
}

/** What the bytes are as content, by the way that shares nothing with the workers: all in memory, on this thread. */
export function oracle(bytes: Uint8Array): ContentRef {
  const hasher = createHasher('auto');
  const cuts = chunkBytes(bytes, new WasmGearScanner());
  const chunks = cuts.map((end, i) => {
    const start = i === 0 ? 0 : cuts[i - 1]!;
    return { digest: hasher.digest(bytes.subarray(start, end)), length: end - start };
  });
  return buildContent({ put: (_kind, node) => hasher.digest(node) }, chunks);
}

export function source(path: string): { path: string; stat: { size: number } } {
  return { path, stat: statSync(path) };
}

/** Writes files into a new folder and returns them as sources, by name. */
export function sourcesOf(files: Record<string, Uint8Array>): { path: string; stat: { size: number } }[] {
  const dir = tempDir();
  return Object.entries(files).map(([name, bytes]) => {
    writeFileSync(join(dir, name), bytes);
    return source(join(dir, name));
  });
}

/** Stores files and returns their contents, by path. */
export async function storeAll(
  engine: TestEngine,
  sources: Iterable<{ path: string; stat: { size: number } }>,
  tally = new IngestTally(),
): Promise<Map<string, ContentRef>> {
  const contents = new Map<string, ContentRef>();
  for await (const stored of engine.ingest.files(sources, { sink: engine.staging, tally }))
    for (const { source, content } of stored) contents.set(source.path, content);
  return contents;
}

/** Reads a whole content back, verified. */
export async function readBack(engine: TestEngine, content: ContentRef): Promise<Uint8Array> {
  const target = new Uint8Array(new SharedArrayBuffer(content.length));
  await engine.data.readInto([{ content, position: 0, target }], { nodes: engine.staging });
  return target;
}

/** How often each chunk lies in the packs of a store. */
export function copiesOfChunks(engine: TestEngine): Map<string, number> {
  const copies = new Map<string, number>();
  for (const id of listPacks(engine.layout)) {
    for (const { digest } of rows(readFooter(engine.layout.packPath(id), id, engine.hasher).table)) {
      const hex = digestToHex(digest);
      copies.set(hex, (copies.get(hex) ?? 0) + 1);
    }
  }
  return copies;
}

/** Files that nobody finished. */
export function leftovers(engine: TestEngine): unknown[] {
  return readdirSync(engine.layout.packsDir).includes('incoming') ? listIncoming(engine.layout) : [];
}
