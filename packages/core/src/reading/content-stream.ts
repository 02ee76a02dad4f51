import type { ContentRef } from '../content/content.js';
import { chunksOf } from '../content/read.js';
import type { DataReadOptions } from './data-reader.js';
import type { ReadRequest } from './plan.js';

/** The first piece is small, so that it comes at once; the next ones are worth a worker. */
const FIRST_BYTES = 256 << 10;
const PIECE_BYTES = 2 << 20;
/** Pieces read ahead of the consumer, itself included: enough to keep two workers busy. */
const PIECES_AHEAD = 4;

type Read = (requests: ReadRequest[], options: DataReadOptions) => Promise<number>;

/** Yields [start, end) of a content. Memory is bounded; leaving early calls off what is read ahead. */
export async function* contentStream(
  read: Read,
  content: ContentRef,
  start: number,
  end: number,
  options: DataReadOptions,
): AsyncGenerator<Uint8Array> {
  const left = new AbortController();
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
  const ahead: Promise<Uint8Array>[] = [];
  const fetch = async ([from, to]: [number, number]): Promise<Uint8Array> => {
    const target = Buffer.allocUnsafeSlow(to - from);
    await read([{ content, position: from, target }], { ...options, signal, onProgress: undefined });
    return target;
  };
  try {
    const ranges = pieces(content, start, end, options);
    for (;;) {
      for (let next; ahead.length < PIECES_AHEAD && (next = ranges.next()).done !== true;) {
        const piece = fetch(next.value);
        piece.catch(() => undefined);
        ahead.push(piece);
      }
      const piece = ahead.shift();
      if (piece === undefined) return;
      yield await piece;
    }
  } finally {
    left.abort();
    await Promise.allSettled(ahead);
  }
}

/** Ranges that end where chunks end: no chunk is read twice. */
function* pieces(content: ContentRef, start: number, end: number, options: DataReadOptions): Generator<[number, number]> {
  let from = start;
  for (const { offset, length } of chunksOf(options.nodes, content, start, end)) {
    const to = Math.min(end, offset + length);
    if (to - from < (from === start ? FIRST_BYTES : PIECE_BYTES) && to < Math.min(end, content.length)) continue;
    yield [from, to];
    from = to;
  }
}
