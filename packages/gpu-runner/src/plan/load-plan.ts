import { createHash } from 'node:crypto';
import type { ContentId } from '@cairn/core';
import { GpuError } from '../errors.js';
import type { ModelFile, ModelSource } from './model-files.js';
import { DEFAULT_ALIGNMENT_BYTES, DEFAULT_MAX_REGION_BYTES, layoutOf, type LoadRequest } from './request.js';
import { selectTensors } from './select.js';
import type { Strided } from './slice.js';

/** Bytes of a file, one run or several, and the place in a region where they go one behind the other. */
export interface PlannedRead extends Strided {
  path: string;
  region: number;
  offset: number;
}

export interface PlannedFile extends ModelFile {
  /** Undefined where only tensors of the file are loaded. */
  region?: number;
}

/** A tensor, or the wanted part of it, where it will be. */
export interface PlannedTensor {
  name: string;
  dtype: string;
  /** Outermost dimension first; of the part. */
  shape: number[];
  path: string;
  region: number;
  offset: number;
  size: number;
}

/** What to read and where to put it; made from the model's description alone, before a byte is read or allocated. */
export interface LoadPlan {
  /** Two plans with the same key fill memory with the same bytes: it is made of content ids and places, not of names. */
  key: string;
  regionBytes: number[];
  /** In the order of the files, and of the bytes in them. */
  reads: PlannedRead[];
  files: PlannedFile[];
  tensors: PlannedTensor[];
  totalBytes: number;
}

/** More descriptors than this do not fit into one message of a Unix socket (SCM_MAX_FD is 253). */
export const MAX_REGIONS = 250;

/** @throws TensorNotFoundError, CannotSliceError, GpuError for what cannot be loaded as asked. */
export function planLoad(source: ModelSource, request: LoadRequest): LoadPlan {
  const parts = layoutOf(request) === 'files' ? planFiles(source) : planTensors(source, request);
  if (parts.regionBytes.length > MAX_REGIONS)
    throw new GpuError(
      'CAIRN_GPU_TOO_MANY_REGIONS',
      `'${source.path}' would take ${parts.regionBytes.length} regions, at most ${MAX_REGIONS} can be handed over`,
      {
        hint: "name fewer files, or pack them with layout 'tensors'",
      },
    );
  return { ...parts, key: keyOf(source, parts), totalBytes: parts.regionBytes.reduce((sum, bytes) => sum + bytes, 0) };
}

type Parts = Omit<LoadPlan, 'key' | 'totalBytes'>;

function planFiles({ files, tensors }: ModelSource): Parts {
  const regionOf = new Map(files.map(({ path }, region) => [path, region]));
  return {
    regionBytes: files.map(({ size }) => size),
    reads: files
      .filter(({ size }) => size > 0)
      .map(({ path, size }) => ({ path, position: 0, runBytes: size, runs: 1, strideBytes: size, region: regionOf.get(path)!, offset: 0 })),
    files: files.map((file, region) => ({ ...file, region })),
    tensors: tensors.map(({ name, dtype, shape, path, offset, size }) => ({
      name,
      dtype,
      shape,
      path,
      region: regionOf.get(path)!,
      offset,
      size,
    })),
  };
}

function planTensors(source: ModelSource, request: LoadRequest): Parts {
  const { alignmentBytes = DEFAULT_ALIGNMENT_BYTES, maxRegionBytes = DEFAULT_MAX_REGION_BYTES } = request;
  const plan: Parts = { regionBytes: [], reads: [], files: source.files, tensors: [] };
  for (const { tensor, part } of selectTensors(source, request)) {
    const { name, dtype, path } = tensor;
    const size = part.runBytes * part.runs;
    const { region, offset } = place(plan.regionBytes, size, alignmentBytes, maxRegionBytes);
    const { shape, ...strided } = part;
    plan.tensors.push({ name, dtype, shape, path, region, offset, size });
    if (size > 0) addRead(plan.reads, { path, ...strided, region, offset });
  }
  return plan;
}

/** Takes `size` bytes at the end of the last region, or of a new one where that would grow too large. */
function place(regionBytes: number[], size: number, alignment: number, limit: number): { region: number; offset: number } {
  const last = regionBytes.length - 1;
  const offset = last < 0 ? 0 : Math.ceil(regionBytes[last]! / alignment) * alignment;
  if (last >= 0 && offset + size <= limit) {
    regionBytes[last] = offset + size;
    return { region: last, offset };
  }
  regionBytes.push(size);
  return { region: last + 1, offset: 0 };
}

/** Neighbours in the file that stay neighbours in memory are one read. */
function addRead(reads: PlannedRead[], read: PlannedRead): void {
  const last = reads.at(-1);
  const joins =
    last !== undefined &&
    last.runs === 1 &&
    read.runs === 1 &&
    last.path === read.path &&
    last.region === read.region &&
    last.position + last.runBytes === read.position &&
    last.offset + last.runBytes === read.offset;
  if (!joins) return void reads.push(read);
  last.runBytes += read.runBytes;
  last.strideBytes = last.runBytes;
}

function keyOf({ files }: ModelSource, { regionBytes, reads }: Parts): string {
  const ids = new Map<string, ContentId>(files.map(({ path, contentId }) => [path, contentId]));
  const places = reads.map(({ path, position, runBytes, runs, strideBytes, region, offset }) => [
    ids.get(path),
    position,
    runBytes,
    runs,
    strideBytes,
    region,
    offset,
  ]);
  return createHash('sha256')
    .update(JSON.stringify([1, regionBytes, places]))
    .digest('hex');
}
