import type { Dice } from './dice.js';

/** What a target's inputs are made of. */
export interface Material {
  /** Valid inputs. */
  readonly samples: readonly Uint8Array[];
  /** Pieces that mean something in this format: names, brackets, magic numbers, records. */
  readonly tokens?: readonly Uint8Array[];
  /** Where lengths, counts and offsets of the format lie. */
  fields?(bytes: Buffer): readonly Field[];
}

/** A little-endian number of the format. */
export interface Field {
  readonly at: number;
  readonly bytes: 1 | 2 | 4 | 8;
}

type Mutation = (dice: Dice, bytes: Buffer, material: Material) => Buffer;

/** Growth stops here: larger inputs only take longer. */
const MAX_GROWTH = 4;
const SLACK_BYTES = 4096;

/** A valid input with one to five things wrong; once in forty bytes from nowhere. */
export function mutated(dice: Dice, material: Material): Buffer {
  if (dice.oneIn(40)) return dice.bytes(dice.below(400));
  let bytes: Buffer = Buffer.from(dice.pick(material.samples));
  const limit = bytes.length * MAX_GROWTH + SLACK_BYTES;
  for (let rounds = 1 + dice.below(dice.oneIn(3) ? 5 : 2); rounds > 0; rounds--) {
    bytes = dice.pick(MUTATIONS)(dice, bytes, material);
    if (bytes.length > limit) bytes = bytes.subarray(0, limit);
  }
  return bytes;
}

const NUMBERS: readonly bigint[] = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x100n, 0xffffn, 0x10000n, 0xffffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn]
  .concat([0x100000000n, 2n ** 40n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]); // prettier-ignore
const BYTES = [0, 1, 2, 0x0a, 0x20, 0x22, 0x2e, 0x2f, 0x5c, 0x7b, 0x7d, 0x7f, 0x80, 0xc0, 0xfe, 0xff];
const DIGITS = [
  '0',
  '-1',
  '00',
  '1e999',
  '2147483648',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551616',
  '0.5',
  'null',
  '""',
  '[]',
  '{}',
];

const flipBits: Mutation = (dice, bytes) => {
  for (let flips = 1 + dice.below(4); flips > 0 && bytes.length > 0; flips--) bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8);
  return bytes;
};

const setBytes: Mutation = (dice, bytes) => {
  for (let i = 1 + dice.below(3); i > 0 && bytes.length > 0; i--)
    bytes[dice.below(bytes.length)] = dice.oneIn(2) ? dice.pick(BYTES) : dice.below(256);
  return bytes;
};

const setNumber: Mutation = (dice, bytes) => {
  const width = dice.pick([2, 4, 8] as const);
  if (bytes.length >= width) putNumber(bytes, { at: dice.below(bytes.length - width + 1), bytes: width }, extreme(dice, bytes));
  return bytes;
};

const setField: Mutation = (dice, bytes, material) => {
  const fields = material.fields?.(bytes).filter(({ at, bytes: width }) => at >= 0 && at + width <= bytes.length) ?? [];
  if (fields.length === 0) return setNumber(dice, bytes, material);
  const field = dice.pick(fields);
  const now = getNumber(bytes, field);
  putNumber(bytes, field, dice.oneIn(3) ? now + BigInt(dice.below(9)) - 4n : extreme(dice, bytes));
  return bytes;
};

/** A varint of more bytes than any number has, or a longer form of a number. */
const setVarint: Mutation = (dice, bytes) => {
  const run = 1 + dice.below(10);
  const at = dice.below(bytes.length + 1);
  bytes.fill(dice.oneIn(2) ? 0xff : 0x80, at, Math.min(bytes.length, at + run));
  return bytes;
};

const cut: Mutation = (dice, bytes) => bytes.subarray(0, dice.below(bytes.length + 1));

const extend: Mutation = (dice, bytes) => Buffer.concat([bytes, dice.oneIn(2) ? Buffer.alloc(dice.below(64)) : dice.bytes(dice.below(64))]);

const remove: Mutation = (dice, bytes) => {
  const { from, to } = range(dice, bytes);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
};

/** Sections twice, or in another order. */
const repeat: Mutation = (dice, bytes) => {
  const { from, to } = range(dice, bytes);
  const at = dice.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, to), bytes.subarray(at)]);
};

const overwrite: Mutation = (dice, bytes) => {
  const { from, to } = range(dice, bytes);
  bytes.copy(bytes, dice.below(bytes.length + 1), from, to);
  return bytes;
};

/** The start of one valid input, and the rest of another. */
const splice: Mutation = (dice, bytes, { samples }) => {
  const other = dice.pick(samples);
  return Buffer.concat([bytes.subarray(0, dice.below(bytes.length + 1)), other.subarray(dice.below(other.length + 1))]);
};

const insertToken: Mutation = (dice, bytes, { tokens = [] }) => {
  if (tokens.length === 0) return repeat(dice, bytes, { samples: [] });
  const at = dice.below(bytes.length + 1);
  const token = dice.pick(tokens);
  return Buffer.concat([bytes.subarray(0, at), token, bytes.subarray(dice.oneIn(2) ? at : Math.min(bytes.length, at + token.length))]);
};

/** A number written in digits becomes another one, or none. */
const setDigits: Mutation = (dice, bytes, material) => {
  const text = bytes.toString('latin1');
  const runs = [...text.matchAll(/\d+/g)];
  if (runs.length === 0) return setField(dice, bytes, material);
  const { 0: digits, index } = dice.pick(runs);
  return Buffer.from(text.slice(0, index) + dice.pick(DIGITS) + text.slice(index + digits.length), 'latin1');
};

const MUTATIONS: readonly Mutation[] = [flipBits, setBytes, setNumber, setField, setField, setVarint, cut, extend, remove, repeat, overwrite, splice, insertToken, insertToken, setDigits]; // prettier-ignore

function range(dice: Dice, bytes: Buffer): { from: number; to: number } {
  const from = dice.below(bytes.length + 1);
  const longest = dice.oneIn(3) ? bytes.length : 40;
  return { from, to: Math.min(bytes.length, from + dice.below(longest + 1)) };
}

/** A number at the edge of some width, or of the input's own length. */
function extreme(dice: Dice, bytes: Buffer): bigint {
  if (dice.oneIn(4)) return BigInt(bytes.length) + BigInt(dice.below(33)) - 16n;
  return dice.pick(NUMBERS) - (dice.oneIn(4) ? 1n : 0n);
}

function getNumber(bytes: Buffer, { at, bytes: width }: Field): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

function putNumber(bytes: Buffer, { at, bytes: width }: Field, value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  for (let i = 0; i < width; i++, rest >>= 8n) bytes[at + i] = Number(rest & 0xffn);
}
