import { chunkBytes } from '../chunking/layout-cuts.js';
import type { ChunkRef, ContentRef } from '../content/content.js';
import { buildContent } from '../content/content.js';
import { InvalidArgumentError } from '../errors.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSink } from '../objects/node-store.js';
import type { IngestTally } from '../ingest/ingest.js';
import type { Bytes, Work } from '../types.js';
import { orAborted } from '../util/or-aborted.js';
import type { Engine } from './engine.js';

/** Data below this size is cut and digested on the calling thread: waking workers would take longer. */
const SMALL_BYTES = 4 << 20;

/** Files that are stored one by one on the calling thread, when they are no more than this and small all together. */
const FEW_FILES = 64;

/** Whether files are so few and small that waking workers for them would take longer than storing them. */
export function areFewAndSmall(count: number, totalBytes: number): boolean {
  return count <= FEW_FILES && totalBytes < SMALL_BYTES;
}

/** Where stored data goes, and what is counted on the way. */
export interface Storing extends Work {
  sink: NodeSink;
  tally: IngestTally;
}

/** Stores bytes from memory or from a stream, and returns their content. Nothing is published. */
export async function storeBytes(engine: Engine, data: Bytes, storing: Storing): Promise<ContentRef> {
  storing.signal?.throwIfAborted();
  const whole = inMemory(data);
  if (whole !== undefined && whole.byteLength < SMALL_BYTES) return storeSmall(engine, storing.sink, whole);
  const source = whole === undefined ? asStream(data)[Symbol.asyncIterator]() : single(whole);
  try {
    return await storeStream(engine, source, storing);
  } catch (error) {
    // Not awaited: a producer that waits for its next bytes answers only then.
    void Promise.resolve(source.return?.(undefined)).catch(() => undefined);
    throw error;
  }
}

async function storeStream(engine: Engine, source: AsyncIterator<unknown>, storing: Storing): Promise<ContentRef> {
  const head: Uint8Array[] = [];
  let headBytes = 0;
  while (headBytes < SMALL_BYTES) {
    const next = await orAborted(source.next(), storing.signal);
    if (next.done === true) return storeSmall(engine, storing.sink, head.length === 1 ? (head[0] as Uint8Array) : Buffer.concat(head));
    const piece = asPiece(next.value);
    // A producer may reuse its buffer for the next piece, so what waits is a copy.
    head.push(headBytes + piece.byteLength < SMALL_BYTES ? piece.slice() : piece);
    headBytes += piece.byteLength;
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* head;
    for (let next = await source.next(); next.done !== true; next = await source.next()) yield asPiece(next.value);
  }
  return engine.ingest.stream(all(), storing);
}

/** Cuts small data on this thread; its chunks wait in memory for the commit. */
export function storeSmall(engine: Engine, nodes: NodeSink, bytes: Uint8Array): ContentRef {
  const chunks: ChunkRef[] = [];
  let start = 0;
  for (const end of chunkBytes(bytes, engine.scanner)) {
    chunks.push({ digest: nodes.put(ObjectKind.chunk, bytes.slice(start, end)), length: end - start });
    start = end;
  }
  return buildContent(nodes, chunks);
}

function inMemory(data: Bytes): Uint8Array | undefined {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  return undefined;
}

async function* single(whole: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(whole);
}

function asStream(data: Bytes): AsyncIterable<unknown> {
  if (data instanceof Blob) return data.stream();
  if (typeof data === 'object' && data !== null && Symbol.asyncIterator in data) return data;
  throw new InvalidArgumentError(
    'data of an unknown kind',
    'give a string, a buffer or typed array, a Blob, a ReadableStream, or an async iterable of byte arrays',
  );
}

function asPiece(value: unknown): Uint8Array {
  const bytes = typeof value === 'string' || ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? inMemory(value) : undefined;
  if (bytes === undefined) throw new InvalidArgumentError('a piece of a stream is no byte array', 'yield Uint8Array (or Buffer) pieces');
  return bytes;
}
