import { digestFromHex, digestsEqual, digestToHex, type Digest } from '../hash/digest.js';
import type { Brand } from '../util/brand.js';

/**
 * The content of a file: which bytes, however they are kept.
 *
 * `height` 0 means no node at all: either nothing (`root` is BLAKE3 of no bytes) or one chunk (`root`
 * is its digest). Otherwise `root` is a content node of level `height`. `length` is in bytes.
 * Equal chunk lists have equal refs, whatever the way that led there.
 */
export interface ContentRef {
  readonly height: number;
  readonly root: Digest;
  readonly length: number;
}

/** One chunk of a file: the digest and the number of its logical bytes. */
export interface ChunkRef {
  readonly digest: Digest;
  readonly length: number;
}

/**
 * Names a content for good: `<chunking version>.<height>.<root digest in hex>.<length in bytes>`, safe in
 * URLs and as an ETag. Equal ids mean equal bytes; equal bytes have equal ids under one chunking version.
 * It is no checksum of the bytes as `b3sum` would print it.
 */
export type ContentId = Brand<string, 'ContentId'>;

/** Grows when the chunking rules or the shape of content trees change, since that changes roots. */
export const CHUNKING_VERSION = 1;

/**
 * No tree is higher: every node but the last of its level has 64 entries or more, so 12 levels hold
 * far more than 2^53 chunks. Bounds the recursion that a hostile node could ask for.
 */
export const MAX_CONTENT_HEIGHT = 12;

/** The content of an empty file. Its root is the BLAKE3 digest of no bytes; no such chunk is stored. */
export const EMPTY_CONTENT: ContentRef = Object.freeze({
  height: 0,
  root: digestFromHex('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'),
  length: 0,
});

export function contentId(ref: ContentRef): ContentId {
  return `${CHUNKING_VERSION}.${ref.height}.${digestToHex(ref.root)}.${ref.length}` as ContentId;
}

export function contentEquals(a: ContentRef, b: ContentRef): boolean {
  return a.length === b.length && a.height === b.height && digestsEqual(a.root, b.root);
}
