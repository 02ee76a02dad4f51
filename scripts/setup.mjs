// Makes a fresh clone ready: dependencies by the pinned pnpm, then the build. Needs Node and npm only, and skips what is done already.
// Arguments name the projects to build; all without any.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const OLDEST_NODE = [20, 19];
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  console.error(
    `Cairn needs Node ${OLDEST_NODE.join('.')} or newer, and this is ${process.version}. Install a newer Node and run this again.`,
  );
  process.exit(1);
}

const { ROOT, PNPM, fingerprint, addonEnvironment, run, since } = await import('./lib/tools.mjs');
const { build } = await import('./build.mjs');

/** Written after an install that succeeded. In node_modules, so that it goes when they go. */
const STAMP = join(ROOT, 'node_modules', '.cairn-installed');

/** Every package.json of the workspace, relative to the root. */
function manifests() {
  const folders = ['.', 'bench', 'test', ...children('packages'), ...children('examples')];
  return folders.map((folder) => join(folder, 'package.json')).filter((file) => existsSync(join(ROOT, file)));
}

function children(folder) {
  return readdirSync(join(ROOT, folder)).map((name) => join(folder, name));
}

/** Depends on what decides the contents of node_modules: the lock, who asks for what, and the Node that addons were compiled for. */
function wanted() {
  const machine = [process.platform, process.arch, process.versions.modules, PNPM];
  return fingerprint(machine, ['pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests()]);
}

function installed() {
  const complete = manifests().every((file) => existsSync(join(ROOT, file, '..', 'node_modules')) || !hasDependencies(file));
  return complete && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted();
}

function hasDependencies(file) {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
  return Object.keys({ ...dependencies, ...devDependencies }).length > 0;
}

/**
 * Puts the commands into the root's node_modules/.bin, for `npx cairn`. As dependencies of the root they would have to be asked for
 * by `workspace:`, and npm would answer an `npm install` with an error about that instead of the words of "engines" in package.json.
 */
function linkCommands() {
  for (const [name, folder] of [
    ['cairn', 'cli'],
    ['cairn-gpu', 'gpu-runner'],
  ]) {
    const link = join(ROOT, 'node_modules', '.bin', name);
    if (existsSync(link)) continue;
    rmSync(link, { force: true });
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join('..', '..', 'packages', folder, 'bin', `${name}.js`), link);
  }
}

const start = performance.now();
if (!installed()) {
  console.log(`Installing dependencies with ${PNPM}; the first time takes a minute or two …`);
  // A node_modules that another package manager made is replaced without asking: nobody may be there to answer.
  const code = await run(
    'npx',
    ['-y', PNPM, 'install', '--frozen-lockfile', '--config.confirm-modules-purge=false', '--reporter=append-only'],
    {
      env: addonEnvironment(),
      quiet: true,
    },
  );
  if (code !== 0) {
    console.error(
      '\nThe install failed; the lines above say why. Is the npm registry reachable, and are a C++ compiler, make and python3 there?',
    );
    process.exit(code);
  }
  writeFileSync(STAMP, wanted());
  console.log(`Installed in ${since(start)}.`);
}
linkCommands();
process.exitCode = await build(process.argv.slice(2));
