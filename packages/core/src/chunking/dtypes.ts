import { GGML_TYPES } from './ggml-types.js';
import { DTYPE_BITS } from './safetensors.js';

/** The smallest run of elements of a dtype that is a whole number of bytes: one element of most, a block of quantised ones. */
export interface DtypeBlock {
  elements: number;
  bytes: number;
}

const BLOCKS = new Map<string, DtypeBlock>([
  ...[...GGML_TYPES.values()].map(([name, elements, bytes]) => [name, { elements, bytes }] as const),
  ...Object.entries(DTYPE_BITS).map(([name, bits]) => [name, wholeBytes(bits)] as const),
]);

/** The block of a dtype as `TensorInfo` spells it; undefined for one that Cairn does not know. */
export function dtypeBlock(dtype: string): DtypeBlock | undefined {
  return BLOCKS.get(dtype);
}

function wholeBytes(bits: number): DtypeBlock {
  let elements = 1;
  while ((elements * bits) % 8 !== 0) elements++;
  return { elements, bytes: (elements * bits) / 8 };
}
