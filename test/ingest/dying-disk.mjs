import { existsSync } from 'node:fs';
import { handOn } from '../support/hand-on.mjs';

/** A `DiskSpec.module`: while the file `options.flag` exists, the thread that would write a pack dies instead. */
export default function dyingDisk(inner, options) {
  return {
    ...handOn(inner),
    create(...args) {
      if (existsSync(options.flag)) process.exit(1);
      return inner.create(...args);
    },
  };
}
