import type { ReadView } from '@cairn/core';
import type { Context } from './context.js';

/** Writes the bytes of a file, and nothing else, to standard output. */
export async function writeBytes(context: Context, view: ReadView, path: string): Promise<void> {
  for await (const chunk of view.createReadStream(path, { signal: context.signal })) await context.output.bytes(chunk as Uint8Array);
}
