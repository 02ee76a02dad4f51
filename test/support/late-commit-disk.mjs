import { cpSync } from 'node:fs';
import { basename } from 'node:path';
import { handOn } from './hand-on.mjs';

/**
 * A disk on which a commit ends just when a repair has put its new index in place: of a process that had begun it before, without a lock
 * that the repair could take.
 *
 * Options: `files`: the folder that holds what that commit wrote, as a store does
 */
export default function lateCommitDisk(inner, { files }) {
  return {
    ...handOn(inner),
    rename(from, to) {
      inner.rename(from, to);
      if (basename(from).startsWith('index-new-')) cpSync(files, to.slice(0, -'/index'.length), { recursive: true });
    },
  };
}
