import type { ContentRef } from '../content/content.js';
import { chunksOf } from '../content/read.js';
import type { Digest } from '../hash/digest.js';
import type { NodeSource } from '../objects/node-store.js';

/** Bytes of a file that are wanted in memory, from `position` on: as many as the target takes, or the file has. */
export interface ReadRequest {
  content: ContentRef;
  position: number;
  target: Uint8Array;
}

/** The bytes [from, to) of a chunk, which go to `at` of a target. */
export interface Piece {
  digest: Digest;
  /** Of the whole chunk. */
  length: number;
  from: number;
  to: number;
  target: Uint8Array;
  at: number;
}

export function wantedBytes({ content, position, target }: ReadRequest): number {
  return Math.max(0, Math.min(target.byteLength, content.length - position));
}

/** What has to be read for the requests, in their order. */
export function* piecesOf(nodes: NodeSource, requests: Iterable<ReadRequest>): Generator<Piece> {
  for (const request of requests) {
    const { content, position, target } = request;
    const end = position + wantedBytes(request);
    for (const { digest, length, offset } of chunksOf(nodes, content, position, end)) {
      const from = Math.max(0, position - offset);
      yield { digest, length, from, to: Math.min(length, end - offset), target, at: offset + from - position };
    }
  }
}

/** Bytes that have to be read, and looked at, for a piece. */
export function costOf(piece: Piece, verify: boolean): number {
  return verify ? piece.length : piece.to - piece.from;
}

/** Groups pieces so that each group costs about `bytes`, and has no more than `count` pieces. */
export function* grouped(pieces: Iterable<Piece>, verify: boolean, bytes: number, count: number): Generator<Piece[]> {
  let group: Piece[] = [];
  let size = 0;
  for (const piece of pieces) {
    const length = costOf(piece, verify);
    if (group.length > 0 && (size + length > bytes || group.length === count)) {
      yield group;
      group = [];
      size = 0;
    }
    group.push(piece);
    size += length;
  }
  if (group.length > 0) yield group;
}
