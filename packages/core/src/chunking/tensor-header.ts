/** Recognition never looks at more of a file than this; a longer header makes it generic bytes. Part of the format. */
export const HEADER_LIMIT = 32 * 1024 * 1024;

/** One tensor as a file's header declares it. */
export interface TensorHeader {
  name: string;
  /** As the format spells it: `BF16`, `F8_E4M3`, `Q4_K`, ... */
  dtype: string;
  /** As the header lists it; GGUF lists the fastest-varying dimension first. */
  shape: number[];
  /** Absolute, in bytes from the start of the file. */
  offset: number;
  size: number;
}

/** What a header says; or how many bytes of the file, counted from its start, are needed to know. */
export type HeaderParse = { headerBytes: number; tensors: TensorHeader[] } | { need: number };

const FLOATS = new Set(['F64', 'F32', 'F16', 'BF16', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F6_E2M3', 'F6_E3M2', 'F4']);

/** Whether a dtype's elements are plain floating-point numbers; quantised blocks are not. */
export function isFloat(dtype: string): boolean {
  return FLOATS.has(dtype);
}

/** Number of elements, or NaN when it is no exact integer below 2^53. */
export function elementCount(shape: readonly number[]): number {
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const length of shape) count *= length;
  return count <= Number.MAX_SAFE_INTEGER ? count : NaN;
}
