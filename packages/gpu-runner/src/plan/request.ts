import { InvalidArgumentError } from '@cairn/core';

/** What to load, as plain data: it travels over the socket and is part of what makes two loads the same. */
export interface LoadRequest {
  /** A file, a folder, or the `*.index.json` of a sharded model, in the volume. */
  path: string;
  /**
   * `files`: each file whole in a region of its own, for engines that open a path. `tensors`: the tensors alone, packed into few
   * regions. Default: `tensors` where tensors are chosen or cut, else `files`.
   */
  layout?: 'files' | 'tensors';
  /** Only tensors whose names match one of these patterns (picomatch; a tensor name has no folders, so `*` matches all of it). */
  include?: string[];
  /** Only these tensors; each has to be there. */
  tensors?: string[];
  /** One of several equal parts of each tensor that a pattern matches; the others whole. */
  slice?: SliceRequest;
  /** Where tensors may start. Default 256 bytes. */
  alignmentBytes?: number;
  /** A packed region is not made larger than this, unless by one tensor. Default 4 GiB. */
  maxRegionBytes?: number;
}

export interface SliceRequest {
  rank: number;
  worldSize: number;
  /** Patterns of tensors that are cut along their first dimension. */
  rows?: string[];
  /** Patterns of tensors that are cut along their last dimension. */
  columns?: string[];
}

export type Layout = 'files' | 'tensors';

export const DEFAULT_ALIGNMENT_BYTES = 256;
export const DEFAULT_MAX_REGION_BYTES = 4 * 2 ** 30;

/** Each is tried on every tensor. */
const MAX_PATTERNS = 1000;
const MAX_PATTERN_LENGTH = 1000;
/** Stars that fail are tried at every place, each for each of the one before. */
const MAX_STARS = 6;

/** @throws InvalidArgumentError unless `value` is a request that means something; it may come from another process. */
export function checkRequest(value: unknown): LoadRequest {
  if (typeof value !== 'object' || value === null) throw bad('a load request is an object');
  const request = value as LoadRequest;
  if (typeof request.path !== 'string') throw bad('`path` is a string');
  if (request.layout !== undefined && request.layout !== 'files' && request.layout !== 'tensors')
    throw bad("`layout` is 'files' or 'tensors'");
  if (request.slice !== undefined && (typeof request.slice !== 'object' || request.slice === null)) throw bad('`slice` is an object');
  const { include, tensors, slice, alignmentBytes = DEFAULT_ALIGNMENT_BYTES, maxRegionBytes = DEFAULT_MAX_REGION_BYTES } = request;
  for (const list of [include, tensors, slice?.rows, slice?.columns])
    if (list !== undefined && !(Array.isArray(list) && list.every((one) => typeof one === 'string' && one !== '')))
      throw bad('names and patterns are lists of strings that are not empty');
  for (const patterns of [include, slice?.rows, slice?.columns]) {
    if (patterns !== undefined && patterns.length > MAX_PATTERNS) throw bad(`there are ${MAX_PATTERNS} patterns at most`);
    if (patterns?.some((pattern) => pattern.length > MAX_PATTERN_LENGTH || pattern.split('*').length > MAX_STARS + 1))
      throw bad(`a pattern has ${MAX_PATTERN_LENGTH} characters and ${MAX_STARS} stars at most`);
  }
  if (slice !== undefined) checkSlice(slice);
  if (
    !Number.isSafeInteger(alignmentBytes) ||
    alignmentBytes < 1 ||
    alignmentBytes > 1 << 30 ||
    (alignmentBytes & (alignmentBytes - 1)) !== 0
  )
    throw bad('`alignmentBytes` is a power of two');
  if (!Number.isSafeInteger(maxRegionBytes) || maxRegionBytes < 1) throw bad('`maxRegionBytes` is a whole number of bytes');
  if (layoutOf(request) === 'files' && (include ?? tensors ?? slice) !== undefined)
    throw bad("tensors are chosen and cut with layout 'tensors'");
  return request;
}

export function layoutOf({ layout, include, tensors, slice }: LoadRequest): Layout {
  return layout ?? ((include ?? tensors ?? slice) === undefined ? 'files' : 'tensors');
}

function checkSlice({ rank, worldSize }: SliceRequest): void {
  const whole = Number.isSafeInteger(worldSize) && worldSize >= 1 && Number.isSafeInteger(rank);
  if (!whole || rank < 0 || rank >= worldSize) throw bad('`rank` counts from 0 to below `worldSize`');
}

function bad(message: string): InvalidArgumentError {
  return new InvalidArgumentError(message, 'see docs/gpu-protocol.md for what a load request holds');
}
