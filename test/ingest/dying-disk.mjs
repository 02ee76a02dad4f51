import { existsSync } from 'node:fs';

/** A `DiskSpec.module`: while the file `options.flag` exists, the thread that would write a pack dies instead. */
export default function dyingDisk(inner, options) {
  return {
    create(path, o) {
      if (existsSync(options.flag)) process.exit(1);
      return inner.create(path, o);
    },
    mkdir: (path) => inner.mkdir(path),
    rename: (from, to) => inner.rename(from, to),
    link: (from, to) => inner.link(from, to),
    unlink: (path) => inner.unlink(path),
    syncDirectory: (path) => inner.syncDirectory(path),
  };
}
