import { detectLayout, tensorsOf } from '../chunking/layout.js';
import type { TensorHeader } from '../chunking/tensor-header.js';
import type { ContentRef } from '../content/content.js';
import { buildContent, chunksOf, contentId } from '../content/content.js';
import { InvalidArgumentError } from '../errors.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import type { TensorInfo } from '../types.js';
import type { Engine } from './engine.js';
import { joinPath, normalizePath, parentOf } from './paths.js';
import type { Sight } from './read-view.js';
import { requireFile } from './read-view.js';

/** A shard index is small; a larger file of that name is none. */
const MAX_SHARD_INDEX_BYTES = 64 << 20;

/**
 * The tensors of a weights file, or of all shards that a `*.index.json` names.
 * @throws InvalidArgumentError when the file is no safetensors, GGUF or shard index, or says of itself what is not true.
 * @throws FileNotFoundError when a shard is missing.
 */
export async function readTensors(engine: Engine, sight: Sight, path: string): Promise<TensorInfo[]> {
  if (!path.endsWith('.index.json')) return fileTensors(engine, sight, path);
  const shardOf = await shardMap(engine, sight, path);
  const tensors: TensorInfo[] = [];
  for (const shard of [...new Set(shardOf.values())].sort()) tensors.push(...(await fileTensors(engine, sight, shard)));
  checkShards(path, shardOf, tensors);
  return tensors;
}

/** The index and its shards have to tell the same story: otherwise two tensors could pass for one, or one be missed. */
function checkShards(path: string, shardOf: Map<string, string>, tensors: readonly TensorInfo[]): void {
  const found = new Map<string, string>();
  for (const tensor of tensors) {
    const other = found.get(tensor.name);
    if (other !== undefined) throw untrue(path, `tensor '${tensor.name}' is in '${other}' and in '${tensor.path}'`);
    found.set(tensor.name, tensor.path);
  }
  for (const [name, shard] of shardOf)
    if (found.get(name) !== shard) throw untrue(path, `tensor '${name}' is not in '${shard}', where the index has it`);
}

function untrue(path: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `'${path}' contradicts itself: ${what}`,
    'store the model again from where it came; nothing of it was read',
  );
}

async function fileTensors(engine: Engine, sight: Sight, path: string): Promise<TensorInfo[]> {
  const content = requireFile(sight.tree, path);
  const headers = await tensorHeaders(engine, sight.nodes, content);
  if (headers === undefined) {
    throw new InvalidArgumentError(
      `'${path}' is neither a safetensors nor a GGUF file`,
      'name a .safetensors or .gguf file, or the .index.json of a sharded model',
    );
  }
  for (const { name, offset, size } of headers)
    if (offset + size > content.length) throw untrue(path, `tensor '${name}' ends at byte ${offset + size} of ${content.length}`);
  return headers.map(({ name, dtype, shape, offset, size }) => ({
    name,
    dtype,
    shape,
    path,
    offset,
    size,
    contentId: rangeId(engine, sight, content, offset, size),
  }));
}

/** The tensors of a file, by offset; undefined when it is no file of weights. Reads as much of its beginning as the header needs. */
export async function tensorHeaders(engine: Engine, nodes: NodeSource, content: ContentRef): Promise<TensorHeader[] | undefined> {
  // A chunk is read as a whole in any case, and the header has its own: of most models the first one is all of it.
  const [first] = chunksOf(nodes, content, 0, 1);
  let want = first?.length ?? 0;
  for (;;) {
    const prefix = new Uint8Array(want);
    await engine.data.readInto([{ content, position: 0, target: prefix }], { nodes, verify: engine.verifyReads });
    const result = detectLayout(prefix, want === content.length);
    if ('layout' in result)
      return result.layout.format === 'generic'
        ? undefined
        : tensorsOf(prefix).map((tensor) => outermostFirst(tensor, result.layout.format));
    want = Math.min(content.length, Math.max(result.need, want + 1));
  }
}

/** GGUF lists dimensions the other way round. */
function outermostFirst(tensor: TensorHeader, format: string): TensorHeader {
  return format === 'gguf' ? { ...tensor, shape: tensor.shape.toReversed() } : tensor;
}

/** Tensors start and end on chunk boundaries, so the identity of their bytes follows from the chunks that are known already. */
function rangeId(engine: Engine, sight: Sight, content: ContentRef, offset: number, size: number): TensorInfo['contentId'] {
  const digestOnly: NodeSink = { put: (_kind, bytes) => engine.hasher.digest(bytes) };
  const end = Math.min(offset + size, content.length);
  return contentId(buildContent(digestOnly, offset < end ? chunksOf(sight.nodes, content, offset, end) : []));
}

/** Tensor name to the path of its shard, of a file that is read whole. */
async function shardMap(engine: Engine, sight: Sight, path: string): Promise<Map<string, string>> {
  const content = requireFile(sight.tree, path);
  if (content.length > MAX_SHARD_INDEX_BYTES) throw noShardIndex(path);
  const bytes = new Uint8Array(content.length);
  await engine.data.readInto([{ content, position: 0, target: bytes }], { nodes: sight.nodes, verify: engine.verifyReads });
  return parseShardMap(bytes, path);
}

/**
 * Tensor name to the path of its shard, which lies in the folder of the index or below it.
 * @throws InvalidArgumentError, InvalidPathError
 */
export function parseShardMap(bytes: Uint8Array, path: string): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    throw noShardIndex(path);
  }
  const map = typeof parsed === 'object' && parsed !== null ? (parsed as { weight_map?: unknown }).weight_map : undefined;
  if (typeof map !== 'object' || map === null) throw noShardIndex(path);
  const entries = Object.entries(map as Record<string, unknown>);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) throw noShardIndex(path);
  return new Map(entries.map(([name, shard]) => [name, normalizePath(joinPath(parentOf(path), shard))]));
}

function noShardIndex(path: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `'${path}' is no shard index`,
    'it needs a "weight_map" object from tensor names to file names, as Transformers writes it',
  );
}
