import { MalformedError } from '../util/bytes.js';
import { JsonReader } from './json-reader.js';
import { elementCount, HEADER_LIMIT, type HeaderParse, type TensorHeader } from './tensor-header.js';

const LENGTH_BYTES = 8;

/** Bits of one element: `Dtype::bitsize` of the safetensors crate 0.6. Sizes of other dtypes are taken as declared. */
export const DTYPE_BITS: Readonly<Record<string, number>> = {
  BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64, U64: 64,
}; // prettier-ignore

/** Whether the first nine bytes are a possible header's: nearly every other file is told apart by them, at no cost. */
export function mayBeSafetensors(prefix: Uint8Array): boolean {
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES);
  const headerBytes = LENGTH_BYTES + view.getUint32(0, true);
  return view.getUint32(4, true) === 0 && headerBytes <= HEADER_LIMIT && prefix[LENGTH_BYTES] === 0x7b;
}

/**
 * Reads the header of a safetensors file: its length as a little-endian u64, then a JSON object that maps names to
 * `{dtype, shape, data_offsets}`, offsets counted from the header's end, and `__metadata__` to an object of strings.
 * @throws MalformedError when the bytes are no such header.
 */
export function parseSafetensors(prefix: Uint8Array): HeaderParse {
  if (prefix.byteLength <= LENGTH_BYTES) return { need: LENGTH_BYTES + 1 };
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES);
  const length = view.getUint32(0, true);
  const headerBytes = LENGTH_BYTES + length;
  if (!mayBeSafetensors(prefix)) throw new MalformedError('no safetensors');
  if (prefix.byteLength < headerBytes) return { need: headerBytes };

  const json = new JsonReader(prefix.subarray(0, headerBytes), LENGTH_BYTES);
  const tensors: TensorHeader[] = [];
  json.object((name) => {
    if (name === '__metadata__') json.object(() => json.string());
    else tensors.push(tensor(json, name, headerBytes));
  });
  json.end();
  return { headerBytes, tensors };
}

function tensor(json: JsonReader, name: string, dataStart: number): TensorHeader {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.object((field) => {
    if (field === 'dtype' && dtype === undefined) dtype = json.string();
    else if (field === 'shape' && shape === undefined) shape = json.integers();
    else if (field === 'data_offsets' && offsets === undefined) offsets = json.integers();
    else throw new MalformedError(`field '${field}' unknown or twice`);
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) throw new MalformedError('tensor with a field missing');
  const [begin, end] = offsets as [number, number];
  if (offsets.length !== 2 || begin > end || dataStart + end > Number.MAX_SAFE_INTEGER) throw new MalformedError('bad data_offsets');
  const bits = Object.hasOwn(DTYPE_BITS, dtype) ? DTYPE_BITS[dtype] : undefined;
  const size = end - begin;
  if (bits !== undefined && elementCount(shape) * bits !== size * 8) throw new MalformedError('size that does not fit the shape');
  return { name, dtype, shape, offset: dataStart + begin, size };
}
