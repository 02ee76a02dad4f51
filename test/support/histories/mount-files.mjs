/** Files that the program in the folder writes, and some that others commit. */
export const ACTOR_FILES = ['run/a', 'run/b', 'run/deep/c', 'd', 'e'];
export const OTHERS_FILES = ['others/p', 'others/q', 'others/deep/r'];

/** What a file holds at its so-many-th writing, as a text of `inspection.mjs`: every number another content. */
export function textOf(file, number) {
  const seed = number * 16 + [...ACTOR_FILES, ...OTHERS_FILES].indexOf(file);
  return `noise:${1 + ((seed * 7919) % 30_000)}:${seed}`;
}
