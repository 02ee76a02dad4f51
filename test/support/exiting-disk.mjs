import { existsSync } from 'node:fs';

/** A disk that ends its thread, not the process, at the first file that it is to make while `options.flag` exists. */
export default function exitingDisk(inner, { flag }) {
  const create = (path, options) => {
    if (existsSync(flag)) process.exit(3);
    return inner.create(path, options);
  };
  return { ...methodsOf(inner), create };
}

function methodsOf(inner) {
  const names = ['mkdir', 'rename', 'link', 'unlink', 'syncDirectory'];
  return Object.fromEntries(names.map((name) => [name, (...args) => inner[name](...args)]));
}
