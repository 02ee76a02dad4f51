/**
 * How an object's bytes are kept physically; never part of its identity. `planes` and `delta` are
 * reserved: this version neither writes nor reads them.
 */
export const Encoding = { raw: 0, zstd: 1, planes: 2, delta: 3 } as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

/** `none` stores everything raw, `fast` keeps pace with a disk, `max` trades time for size. */
export type Compression = 'none' | 'fast' | 'max';

/** `float`: blocks of a tensor with a floating-point dtype; `data`: everything else. */
export type EncodingHint = 'float' | 'data';
