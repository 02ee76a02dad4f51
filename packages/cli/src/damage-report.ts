import type { Damage } from '@cairn/core';
import { place, printable } from './format.js';

/** Tensors of one file that are named; of a large hole there may be hundreds. */
const MAX_TENSORS = 8;

const AFTER_REPAIR = "'cairn repair' sets the state aside, then mount the folder again";

/** What is damaged, and every place that it touches: a line each, with the tensors that are hit. */
export function describeDamage({ kind, id, folder, affects }: Damage): string[] {
  if (kind === 'mount')
    return [
      `damaged state of mount ${id}`,
      `  ${folder === undefined ? 'its folder' : printable(folder)} keeps its files; ${AFTER_REPAIR}`,
    ];
  const places = new Map<string, string[]>();
  for (const { volume, snapshot, path, tensor, mount } of affects) {
    const holder = mount === undefined ? place(volume, snapshot) : `${volume}, as mounted at ${printable(mount)}`;
    const where = `  ${holder}:/${printable(path.replace(/^\/+/, ''))}`;
    const tensors = places.get(where) ?? [];
    if (tensor !== undefined) tensors.push(printable(tensor));
    places.set(where, tensors);
  }
  const touched = [...places].map(([where, tensors]) => (tensors.length === 0 ? where : `${where}  ${listed(tensors)}`));
  return [`damaged ${kind} ${id}`, ...(touched.length > 0 ? touched : ['  no version uses it'])];
}

function listed(tensors: string[]): string {
  const left = tensors.length - MAX_TENSORS;
  return `${tensors.length === 1 ? 'tensor' : 'tensors'} ${tensors.slice(0, MAX_TENSORS).join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
}
