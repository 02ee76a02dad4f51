import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import fs from 'node:fs';
import { createMemoryFile } from '../device/memory-file.js';
import type { Manifest, ManifestRegion } from '../protocol/manifest.js';

/*
 * How a process that is started here gets its weights: it inherits descriptors. 3 is the manifest as a JSON file, 4 and up are the
 * regions. Nothing has to be received, and nothing of the daemon has to be reachable.
 */

/** The manifest in a child. */
export const MANIFEST_DESCRIPTOR = 3;
const FIRST_REGION_DESCRIPTOR = 4;

/** A loaded model as this process has it: where it lies, and descriptors of it that are open for reading. */
export interface OpenModel {
  manifest: Manifest;
  descriptors: readonly number[];
}

/** The manifest as a child sees it that inherits the regions. */
export function inheritedManifest(manifest: Manifest): Manifest {
  const regions = manifest.regions.map(({ size, path, cuda }, i): ManifestRegion => {
    if (path !== undefined) return { size, path: `/proc/self/fd/${FIRST_REGION_DESCRIPTOR + i}` };
    if (cuda?.sharing !== 'vmm') return { size, ...(cuda === undefined ? {} : { cuda }) };
    return { size, cuda: { ...cuda, descriptor: FIRST_REGION_DESCRIPTOR + cuda.descriptor } };
  });
  return { ...manifest, regions };
}

/**
 * Starts a command that inherits a model. In its arguments `{}` stands for the path of the model's first file. Its environment says
 * the rest: `CAIRN_GPU_PROTOCOL`, `CAIRN_GPU_MANIFEST` (a path), `CAIRN_GPU_FILE` (the path of the first file).
 */
export function spawnWithModel(
  model: OpenModel,
  command: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): ChildProcess {
  const manifest = inheritedManifest(model.manifest);
  // Of each child its own, since children of one file would share the position in it.
  const file = createMemoryFile('cairn-manifest');
  try {
    fs.writeSync(file, JSON.stringify(manifest), 0);
    const first = manifest.files.find(({ region }) => region !== undefined);
    const firstPath = manifest.regions[first?.region ?? 0]?.path ?? '';
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', file, ...model.descriptors];
    return spawn(
      command,
      args.map((argument) => argument.replaceAll('{}', firstPath)),
      {
        stdio,
        env: {
          ...environment,
          CAIRN_GPU_PROTOCOL: String(manifest.cairn),
          CAIRN_GPU_MANIFEST: `/proc/self/fd/${MANIFEST_DESCRIPTOR}`,
          CAIRN_GPU_FILE: firstPath,
        },
      },
    );
  } finally {
    fs.closeSync(file);
  }
}
