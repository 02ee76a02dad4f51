/** A disk that says that it has synced, and has not: `DiskSpec.module` of the tests. What a power cut leaves of it is no store. */
export default function forgetfulDisk(inner) {
  return {
    create: (path) => new ForgetfulFile(inner.create(path)),
    mkdir: (path) => inner.mkdir(path),
    rename: (from, to) => inner.rename(from, to),
    link: (from, to) => inner.link(from, to),
    unlink: (path) => inner.unlink(path),
    syncDirectory: () => {},
  };
}

class ForgetfulFile {
  constructor(inner) {
    this.inner = inner;
  }

  get path() {
    return this.inner.path;
  }

  writeSync(bytes, position) {
    this.inner.writeSync(bytes, position);
  }

  write(bytes, position) {
    return this.inner.write(bytes, position);
  }

  syncSync() {}

  async sync() {}

  closeSync() {
    this.inner.closeSync();
  }
}
