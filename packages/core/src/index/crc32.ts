const POLYNOMIAL = 0xedb88320;

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ POLYNOMIAL;
  return value;
});

/** The CRC-32 of zlib of two parts, the first `length` bytes of the second one. For records this short faster than calls into zlib. */
export function crc32Of(first: Uint8Array, second: Uint8Array, length: number): number {
  let value = -1;
  for (let i = 0; i < first.length; i++) value = TABLE[(value ^ first[i]!) & 0xff]! ^ (value >>> 8);
  for (let i = 0; i < length; i++) value = TABLE[(value ^ second[i]!) & 0xff]! ^ (value >>> 8);
  return ~value >>> 0;
}
