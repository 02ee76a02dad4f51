import { MalformedError } from '../util/bytes.js';
import { GGML_TYPES } from './ggml-types.js';
import { elementCount, HEADER_LIMIT, type HeaderParse, type TensorHeader } from './tensor-header.js';

/** `GGUF` as a little-endian u32. */
const MAGIC = 0x46554747;
/** The least that is asked for at once. */
const FIRST_STEP_BYTES = 65536;
const DEFAULT_ALIGNMENT = 32;
const ALIGNMENT_KEY = Buffer.from('general.alignment');
/** GGML_MAX_DIMS of ggml.h. */
const MAX_DIMENSIONS = 4;
const MAX_ARRAY_DEPTH = 4;
/** More than any model has, few enough for hostile headers to be read fast. */
const MAX_TENSORS = 1 << 18;
const TYPE_UINT32 = 4;
const TYPE_STRING = 8;
const TYPE_ARRAY = 9;
/** Bytes of a metadata value by type id, 0 where they vary (string, array). */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

export function isGguf(prefix: Uint8Array): boolean {
  return prefix.byteLength >= 4 && new DataView(prefix.buffer, prefix.byteOffset, 4).getUint32(0, true) === MAGIC;
}

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian (github.com/ggml-org/ggml, docs/gguf.md): counts, metadata,
 * tensor descriptions. `headerBytes` goes up to the aligned start of the tensor data.
 * @throws MalformedError when the bytes are no such header; also for tensor types that are not in `GGML_TYPES`.
 */
export function parseGguf(prefix: Uint8Array): HeaderParse {
  try {
    return parse(new GgufReader(prefix));
  } catch (error) {
    if (error instanceof PrefixTooShort) {
      // How long the header is shows only at its end: asking for twice as much keeps the repeated walks linear in all.
      return { need: Math.min(HEADER_LIMIT, Math.max(error.need, 2 * prefix.byteLength, FIRST_STEP_BYTES)) };
    }
    throw error;
  }
}

function parse(reader: GgufReader): HeaderParse {
  const magic = reader.u32();
  const version = reader.u32();
  if (magic !== MAGIC || (version !== 2 && version !== 3)) throw new MalformedError('no GGUF of version 2 or 3');
  const tensorCount = reader.u64();
  if (tensorCount > MAX_TENSORS) throw new MalformedError('too many tensors');
  const alignment = readMetadata(reader, reader.u64());
  const tensors: TensorHeader[] = [];
  for (let i = 0; i < tensorCount; i++) tensors.push(readTensor(reader, alignment));
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  reader.skip(dataStart - reader.position);
  for (const tensor of tensors) {
    tensor.offset += dataStart;
    if (tensor.offset + tensor.size > Number.MAX_SAFE_INTEGER) throw new MalformedError('tensor beyond 2^53');
  }
  return { headerBytes: dataStart, tensors };
}

/** Walks all metadata; the alignment is all that matters of it. */
function readMetadata(reader: GgufReader, count: number): number {
  let alignment = DEFAULT_ALIGNMENT;
  for (let i = 0; i < count; i++) {
    const isAlignment = reader.isString(ALIGNMENT_KEY);
    const type = reader.u32();
    if (isAlignment && type === TYPE_UINT32) {
      alignment = reader.u32();
      if (alignment === 0 || (alignment & (alignment - 1)) !== 0) throw new MalformedError('alignment that is no power of two');
    } else skipValue(reader, type, 0);
  }
  return alignment;
}

function skipValue(reader: GgufReader, type: number, depth: number): void {
  if (type === TYPE_STRING) reader.skip(reader.u64());
  else if (type === TYPE_ARRAY) {
    if (depth === MAX_ARRAY_DEPTH) throw new MalformedError('arrays nested too deeply');
    const elementType = reader.u32();
    const length = reader.u64();
    const bytes = valueBytes(elementType);
    if (bytes > 0) reader.skip(bytes * length);
    else for (let i = 0; i < length; i++) skipValue(reader, elementType, depth + 1);
  } else reader.skip(valueBytes(type));
}

function valueBytes(type: number): number {
  const bytes = VALUE_BYTES[type];
  if (bytes === undefined) throw new MalformedError(`metadata type ${type} unknown`);
  return bytes;
}

/** The offset of the result still counts from the start of the tensor data. */
function readTensor(reader: GgufReader, alignment: number): TensorHeader {
  const name = reader.string();
  const dimensions = reader.u32();
  if (dimensions > MAX_DIMENSIONS) throw new MalformedError('too many dimensions');
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) shape.push(reader.u64());
  const typeId = reader.u32();
  const type = GGML_TYPES.get(typeId);
  if (type === undefined) throw new MalformedError(`tensor type ${typeId} unknown`);
  const [dtype, blockElements, blockBytes] = type;
  const offset = reader.u64();
  if (offset % alignment !== 0 || (shape[0] ?? 1) % blockElements !== 0) throw new MalformedError('tensor off its alignment');
  const size = (elementCount(shape) / blockElements) * blockBytes;
  if (!Number.isSafeInteger(size)) throw new MalformedError('tensor beyond 2^53');
  return { name, dtype, shape, offset, size };
}

/** Raised when the header goes on beyond the bytes that are there: `need` is the least that has to be there. */
class PrefixTooShort extends Error {
  readonly need: number;
  constructor(need: number) {
    super('prefix too short');
    this.need = need;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

class GgufReader {
  position = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes.subarray(0, HEADER_LIMIT);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  u32(): number {
    return this.view.getUint32(this.skip(4), true);
  }

  u64(): number {
    const at = this.skip(8);
    const value = this.view.getUint32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
    if (value > Number.MAX_SAFE_INTEGER) throw new MalformedError('integer over 2^53');
    return value;
  }

  string(): string {
    const length = this.u64();
    const at = this.skip(length);
    try {
      return UTF8.decode(this.bytes.subarray(at, at + length));
    } catch {
      throw new MalformedError('string that is no UTF-8');
    }
  }

  /** Passes over a string; whether it is `text`. */
  isString(text: Uint8Array): boolean {
    const length = this.u64();
    const at = this.skip(length);
    return length === text.byteLength && Buffer.compare(text, this.bytes.subarray(at, at + length)) === 0;
  }

  /** Passes over `bytes` bytes; returns where they start. */
  skip(bytes: number): number {
    const start = this.position;
    if (start + bytes > HEADER_LIMIT) throw new MalformedError('header over its limit');
    if (start + bytes > this.bytes.byteLength) throw new PrefixTooShort(start + bytes);
    this.position += bytes;
    return start;
  }
}
