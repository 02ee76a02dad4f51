import { existsSync } from 'node:fs';
import { handOn } from './hand-on.mjs';

/** A disk that ends its thread, not the process, at the first file that it is to make while `options.flag` exists. */
export default function exitingDisk(inner, { flag }) {
  const create = (...args) => {
    if (existsSync(flag)) process.exit(3);
    return inner.create(...args);
  };
  return { ...handOn(inner), create };
}
