// What the scripts share: where things are, and how a command is run.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The root's package.json. */
export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** `name@version` of the package manager that the lock file was made with; `npx` brings it, nobody has to install it. */
export const PNPM = manifest.packageManager;

/**
 * Runs a command in the root and resolves to its exit code (1 when a signal ended it, 127 when it cannot be started). Its output goes
 * where ours goes, unless `quiet`: then it is kept, and shown only when the command fails.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, quiet?: boolean, cwd?: string }} [options]
 * @returns {Promise<number>}
 */
export function run(command, args, { env = {}, quiet = false, cwd = ROOT } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'],
    });
    const kept = [];
    child.stdout?.on('data', (bytes) => kept.push(bytes));
    child.stderr?.on('data', (bytes) => kept.push(bytes));
    child.on('error', (error) => {
      console.error(`cannot run ${command}: ${error.message}`);
      resolve(127);
    });
    child.on('close', (code) => {
      if (quiet && code !== 0) process.stderr.write(Buffer.concat(kept));
      resolve(code ?? 1);
    });
  });
}

/**
 * Runs the bin of a development dependency by this very Node, without a shell and without npx.
 * @param {string} name of the package in the root's devDependencies
 * @param {string} bin path of the program inside of it
 * @param {string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export function runTool(name, bin, args, options) {
  return run(process.execPath, [join(ROOT, 'node_modules', name, bin), ...args], options);
}

/**
 * For the compilation of native addons: Node's own headers where it was installed with them, so that none are downloaded, and all cores.
 * @returns {Record<string, string>}
 */
export function addonEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? { npm_config_nodedir: prefix } : {};
  return { JOBS: 'max', ...headers };
}

/** One digest over strings and the bytes of files: equal digest, nothing to do again. */
export function fingerprint(words, files) {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`${word}\0`);
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(ROOT, file)))
      .update('\0');
  return hash.digest('hex');
}

/** Seconds since `start` (of `performance.now()`), for people. */
export function since(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
