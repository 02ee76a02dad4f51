import { createRequire } from 'node:module';
import type * as binding from 'zstd-napi/binding.js';

/** The one-shot calls of zstd-napi's binding: they write into the caller's memory and never beyond it. */
export type Zstd = typeof binding;

let loaded: Zstd | undefined;

/** Loads the native addon on first use, so that a process that only looks at a store never pays for it. */
export function loadZstd(): Zstd {
  loaded ??= createRequire(import.meta.url)('zstd-napi/binding.js') as Zstd;
  return loaded;
}
