import type { Damage } from '@cairn/core';
import { place, printable } from './format.js';

/** What is damaged, and every place that it touches: a line each. */
export function describeDamage({ kind, id, affects }: Damage): string[] {
  const touched = affects.map(({ volume, snapshot, path }) => `  ${place(volume, snapshot)}:/${printable(path.replace(/^\/+/, ''))}`);
  return [`damaged ${kind} ${id}`, ...(touched.length > 0 ? touched : ['  no version uses it'])];
}
