import type { TensorHeader } from '../chunking/tensor-header.js';
import type { ContentRef } from '../content/content.js';
import { chunksOf, contentEquals } from '../content/content.js';
import { digestsEqual } from '../hash/digest.js';
import { diffManifests } from '../manifest/diff.js';
import type { ManifestRoot } from '../manifest/entry.js';
import type { Change, TensorChange } from '../types.js';
import { contentOf, toChange } from './diff.js';
import type { Engine } from './engine.js';
import { tensorHeaders } from './tensors.js';

/** As `changesBetween`; and of weights, which tensors differ. Of file data only the headers of changed files are read. */
export async function* tensorChangesBetween(engine: Engine, from: ManifestRoot, to: ManifestRoot): AsyncGenerator<Change> {
  for (const change of diffManifests(engine.nodes, from, to)) {
    const tensors = await engine.run(() => changedTensors(engine, contentOf(change.before), contentOf(change.after)));
    yield { ...toChange(engine.nodes, change), ...(tensors === undefined ? {} : { tensors }) };
  }
}

/** One side of a comparison: a file's content, and its tensors by name. */
interface Side {
  content: ContentRef;
  tensors: Map<string, TensorHeader>;
}

/** In the order of the newer file, what was removed last; undefined when neither is a file of weights, or both are the same. */
async function changedTensors(
  engine: Engine,
  before: ContentRef | undefined,
  after: ContentRef | undefined,
): Promise<TensorChange[] | undefined> {
  if (before !== undefined && after !== undefined && contentEquals(before, after)) return undefined;
  const [old, now] = [await sideOf(engine, before), await sideOf(engine, after)];
  if (old === undefined && now === undefined) return undefined;
  const changes: TensorChange[] = [];
  for (const tensor of now?.tensors.values() ?? []) {
    const previous = old?.tensors.get(tensor.name);
    if (previous === undefined) changes.push(whole('added', engine, now!, tensor));
    else {
      const change = compared(engine, { ...old!, tensor: previous }, { ...now!, tensor });
      if (change !== undefined) changes.push(change);
    }
  }
  for (const tensor of old?.tensors.values() ?? [])
    if (now?.tensors.has(tensor.name) !== true) changes.push(whole('removed', engine, old!, tensor));
  return changes;
}

async function sideOf(engine: Engine, content: ContentRef | undefined): Promise<Side | undefined> {
  const headers = content === undefined ? undefined : await tensorHeaders(engine, engine.nodes, content);
  return headers === undefined ? undefined : { content: content!, tensors: new Map(headers.map((tensor) => [tensor.name, tensor])) };
}

function whole(type: 'added' | 'removed', { nodes }: Engine, { content }: Side, { name, offset, size }: TensorHeader): TensorChange {
  let blocks = 0;
  let changedBytes = 0;
  for (const { length } of chunksOf(nodes, content, offset, offset + size)) {
    blocks++;
    changedBytes += length;
  }
  return { name, type, changedBlocks: blocks, blocks, changedBytes };
}

/** Tensors are cut at the same places whatever stands around them, so their chunks are compared one by one. */
function compared({ nodes }: Engine, old: Side & { tensor: TensorHeader }, now: Side & { tensor: TensorHeader }): TensorChange | undefined {
  const chunks = ({ content, tensor }: typeof old) => chunksOf(nodes, content, tensor.offset, tensor.offset + tensor.size);
  const previous = chunks(old);
  const counts = { changedBlocks: 0, blocks: 0, changedBytes: 0 };
  for (const { digest, length } of chunks(now)) {
    counts.blocks++;
    const { value: counterpart } = previous.next();
    if (counterpart && digestsEqual(counterpart.digest, digest)) continue;
    counts.changedBlocks++;
    counts.changedBytes += length;
  }
  const [a, b] = [old.tensor, now.tensor];
  // Other dimensions over the same bytes are another tensor as well.
  const isSame = counts.changedBlocks === 0 && a.size === b.size && a.dtype === b.dtype && a.shape.join() === b.shape.join();
  return isSame ? undefined : { name: b.name, type: 'modified', ...counts };
}
