// The lint rule that keeps all writes of @cairn/core behind its disk interface (packages/core/src/disk/disk.ts).

/** What of `node:fs` looks, and changes nothing. Files are opened and read through `disk/reads.ts`. */
const LOOKS = [
  'BigIntStats',
  'Dirent',
  'FSWatcher',
  'Stats',
  'accessSync',
  'closeSync',
  'constants',
  'existsSync',
  'fstatSync',
  'lstatSync',
  'readFileSync',
  'readdir',
  'readdirSync',
  'readlinkSync',
  'realpathSync',
  'statSync',
  'statfsSync',
  'watch',
].join('|');

/** Files that may open or make something themselves, and why no disk of a test's needs to know. */
export const EXCEPTIONS = {
  'index/environment.ts': "makes the folder that LMDB's own files go into, which LMDB writes past any interface",
  'index/data-file.ts': "opens LMDB's file as LMDB will, to find out whether it may",
  'mount/socket-path.ts': 'gives the socket of a mount a short name: a descriptor, or a symlink in the folder for temporary files',
};

const MESSAGE = 'core writes through disk/ only, so that tests can fail and record all of it: see Disk, reads and trees there';

/**
 * Configuration of ESLint, made of the core rule `no-restricted-syntax`.
 * @param {string} source folder of the core, relative to the ESLint configuration
 */
export function diskDoor(source) {
  const anyFs = '/^(node:)?fs(\\/promises)?$/';
  const selectors = [
    'ImportDeclaration[source.value=/^(node:)?fs\\/promises$/]',
    `ImportDeclaration[source.value=${anyFs}] > ImportSpecifier:not([imported.name=/^(${LOOKS})$/])`,
    `ImportDeclaration[source.value=${anyFs}] > ImportDefaultSpecifier:not([local.name='fs'])`,
    `ImportDeclaration[source.value=${anyFs}] > ImportNamespaceSpecifier`,
    `ImportExpression[source.value=${anyFs}]`,
    `ExportNamedDeclaration[source.value=${anyFs}]`,
    `ExportAllDeclaration[source.value=${anyFs}]`,
    `MemberExpression[object.name='fs']:not([computed=false][property.name=/^(${LOOKS})$/])`,
    // Taken out of the module, or handed on, nobody sees what it is used for.
    "VariableDeclarator[init.name='fs']",
    "CallExpression > Identifier.arguments[name='fs']",
  ];
  return {
    name: 'core writes through disk/',
    files: [`${source}/**/*.ts`],
    ignores: [`${source}/disk/**`, ...Object.keys(EXCEPTIONS).map((file) => `${source}/${file}`)],
    rules: { 'no-restricted-syntax': ['error', ...selectors.map((selector) => ({ selector, message: MESSAGE }))] },
  };
}
