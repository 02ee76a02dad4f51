import { MalformedError } from '../util/bytes.js';
import { isGguf, parseGguf } from './gguf.js';
import { mayBeSafetensors, parseSafetensors } from './safetensors.js';
import { HEADER_LIMIT, isFloat, type HeaderParse, type TensorHeader } from './tensor-header.js';

/** A part of a file that is cut by one rule. Region ends are cuts. */
export interface Region {
  start: number;
  /** Exclusive; Infinity for the last region. */
  end: number;
  /** `blocks`: one tensor, cut every TENSOR_BLOCK bytes from `start`. `generic`: the Xet rule, begun anew at `start`. */
  rule: 'blocks' | 'generic';
  /** Of the tensor, as its format spells it. */
  dtype?: string;
  /** Whether the tensor's elements are plain floating-point numbers. */
  float?: boolean;
}

/**
 * How a file is cut. Regions follow each other without gaps from 0 to Infinity, none empty, the last one generic. A file that
 * ends inside them is clipped.
 */
export interface Layout {
  format: 'safetensors' | 'gguf' | 'generic';
  regions: readonly Region[];
  /** Length of the prefix that decided; 0 for generic. */
  headerBytes: number;
}

export const GENERIC_LAYOUT: Layout = { format: 'generic', regions: [{ start: 0, end: Infinity, rule: 'generic' }], headerBytes: 0 };

/** Fewer bytes tell no format. */
const RECOGNITION_BYTES = 9;

/**
 * The layout of a file that begins with `prefix`, or how many bytes from its start are needed to tell (more than there are, at
 * most 32 MiB). `atEnd` says that the file has no more bytes. The answer depends on the file's header alone: not on its length,
 * nor on how much of it is given. Whatever is not recognised, malformed or contradictory is generic; never throws.
 */
export function detectLayout(prefix: Uint8Array, atEnd: boolean): { layout: Layout } | { need: number } {
  const parsed = parseHeader(prefix);
  if (parsed === null) return { layout: GENERIC_LAYOUT };
  if ('need' in parsed) return atEnd ? { layout: GENERIC_LAYOUT } : parsed;
  return { layout: { format: parsed.format, regions: regionsOf(parsed), headerBytes: parsed.headerBytes } };
}

/** The layout of a whole file in memory. */
export function layoutOf(bytes: Uint8Array): Layout {
  const found = detectLayout(bytes, true);
  return 'layout' in found ? found.layout : GENERIC_LAYOUT;
}

/**
 * The tensors that a file declares, empty ones included, by offset; `prefix` has to hold its first `Layout.headerBytes` bytes.
 * None for generic files.
 */
export function tensorsOf(prefix: Uint8Array): TensorHeader[] {
  const parsed = parseHeader(prefix);
  return parsed !== null && 'tensors' in parsed ? parsed.tensors : [];
}

interface Header {
  format: 'safetensors' | 'gguf';
  headerBytes: number;
  /** Ordered by offset, none overlapping another. */
  tensors: TensorHeader[];
}

/** Null for generic bytes. */
function parseHeader(prefix: Uint8Array): Header | { need: number } | null {
  if (prefix.byteLength < RECOGNITION_BYTES) return { need: RECOGNITION_BYTES };
  const format = isGguf(prefix) ? 'gguf' : 'safetensors';
  if (format === 'safetensors' && !mayBeSafetensors(prefix)) return null;
  const parsed = parseOrNull(format === 'gguf' ? parseGguf : parseSafetensors, prefix);
  if (parsed === null || 'need' in parsed) return parsed;
  const tensors = parsed.tensors.sort((a, b) => a.offset - b.offset || a.size - b.size);
  return isConsistent(tensors) ? { format, headerBytes: parsed.headerBytes, tensors } : null;
}

function parseOrNull(parse: (prefix: Uint8Array) => HeaderParse, prefix: Uint8Array): HeaderParse | null {
  try {
    return parse(prefix);
  } catch (error) {
    if (error instanceof MalformedError) return null;
    throw error;
  }
}

function isConsistent(tensors: readonly TensorHeader[]): boolean {
  const names = new Set<string>();
  let end = 0;
  for (const { name, offset, size } of tensors) {
    if (names.has(name) || offset < end) return false;
    names.add(name);
    end = offset + size;
  }
  return true;
}

function regionsOf({ headerBytes, tensors }: Header): Region[] {
  const regions: Region[] = [{ start: 0, end: headerBytes, rule: 'generic' }];
  let at = headerBytes;
  for (const { offset, size, dtype } of tensors) {
    if (size === 0) continue;
    if (offset > at) regions.push({ start: at, end: offset, rule: 'generic' });
    at = offset + size;
    regions.push({ start: offset, end: at, rule: 'blocks', dtype, float: isFloat(dtype) });
  }
  regions.push({ start: at, end: Infinity, rule: 'generic' });
  return regions;
}

export { HEADER_LIMIT };
