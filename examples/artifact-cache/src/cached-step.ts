import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Volume } from '@cairn/core';

/** A step of a build: a command that makes a folder out of some files. */
export interface Step {
  command: readonly [string, ...string[]];
  /** Files and folders that the result depends on, and nothing else: what is not named must not matter. */
  inputs: readonly string[];
  /** Folder that the command fills. It is emptied first. */
  output: string;
}

export interface StepResult {
  /** Whether the output came from the cache, and the command did not run. */
  hit: boolean;
  key: string;
}

/**
 * Runs a step, or brings back what it made when its command and the contents of its inputs were last the same: on
 * this branch, on another, or in another checkout of the machine. Outputs that share bytes are stored once. A failed
 * command is cached by nobody.
 */
export async function cachedStep(cache: Volume, step: Step): Promise<StepResult> {
  const key = await keyOf(step);
  await cache.reload();
  await rm(step.output, { recursive: true, force: true });
  if (await cache.exists(key)) {
    await cache.copyToLocal(key, step.output);
    return { hit: true, key };
  }
  await mkdir(step.output, { recursive: true });
  await run(step.command);
  // Two builds may get here at once. Both made the same from the same, so that the second replaces the first does no harm.
  await cache.batchUpload((batch) => batch.putDirectory(step.output, key), { force: true, message: step.command.join(' ') });
  return { hit: false, key };
}

/** A digest over the command, and over the name and bytes of every input. */
async function keyOf({ command, inputs }: Step): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(command));
  for (const input of inputs)
    for (const file of await filesBelow(input)) hash.update(JSON.stringify([file, digestOf(await readFile(file))]));
  return hash.digest('hex');
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function filesBelow(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const children = await readdir(path, { withFileTypes: true, recursive: true });
  return children
    .filter((child) => child.isFile())
    .map((child) => join(child.parentPath, child.name))
    .sort();
}

function run([command, ...args]: Step['command']): Promise<void> {
  return new Promise((resolve, reject) => {
    spawn(command, args, { stdio: 'inherit' })
      .on('error', reject)
      .on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${signal ?? code}`))));
  });
}
