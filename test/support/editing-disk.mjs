import fs from 'node:fs';
import { handOn } from './hand-on.mjs';

/**
 * A disk on which somebody is quicker: just when a mount sets a file aside, another program edits it, or opens it for writing.
 *
 * Options: `moment`: 'before' | 'after' it is set aside, 'opens' (and writes later, through `lateWrites()`) · `text` to append
 */
// Shared: the store loads a copy of this module of its own.
const open = (globalThis.filesOpenForLateWrites ??= []);

export function lateWrites(text) {
  for (const fd of open.splice(0)) {
    fs.writeSync(fd, text);
    fs.closeSync(fd);
  }
}

export default function editingDisk(inner, { moment, text }) {
  const around = (from, to, action) => {
    const isAside = to.includes('/.cairn-mount/aside/');
    if (isAside && moment === 'before') fs.appendFileSync(from, text);
    if (isAside && moment === 'opens') open.push(fs.openSync(from, 'a'));
    action();
    if (isAside && moment === 'after') fs.appendFileSync(to, text);
  };
  return {
    ...handOn(inner),
    rename: (from, to) => around(from, to, () => inner.rename(from, to)),
    link: (from, to) => around(from, to, () => inner.link(from, to)),
  };
}
