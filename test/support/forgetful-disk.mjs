import { handOn } from './hand-on.mjs';

/** A disk that says that it has synced, and has not: `DiskSpec.module` of the tests. What a power cut leaves of it is no store. */
export default function forgetfulDisk(inner) {
  const forgetful = (file) => ({ ...handOn(file), path: file.path, fd: file.fd, syncSync() {}, async sync() {} });
  return {
    ...handOn(inner),
    create: (...args) => forgetful(inner.create(...args)),
    open: (...args) => forgetful(inner.open(...args)),
    syncDirectory() {},
    async syncSource() {},
  };
}
