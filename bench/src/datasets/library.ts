import { mkdirSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { binarySize } from './dataset.js';
import type { Dataset } from './dataset.js';
import { writeGeneric, writeSmallFiles, writeTinyTensors } from './files.js';
import { RELEASES, RELEASES_DESCRIPTION, fetchRelease } from './published-models.js';
import { writeWeights } from './weights.js';
import type { WeightKind } from './weights.js';

/** Datasets by name, made once and kept: the same seed gives the same folder. */
export class Library {
  readonly #dir: string;
  readonly #seed: number;
  readonly #log: (line: string) => void;

  constructor(dir: string, seed: number, log: (line: string) => void) {
    this.#dir = dir;
    this.#seed = seed;
    this.#log = log;
  }

  /** One safetensors file. `variant` gives other weights of the same shape. */
  weights(kind: WeightKind, bytes: number, variant = 0): Promise<Dataset> {
    const seed = this.#seed + variant * 1_000_003;
    return this.#make(
      `weights-${kind}-${bytes}-${seed}`,
      `one safetensors file, ${binarySize(bytes)} of Gaussian ${kind} weights`,
      (dir) => {
        writeWeights(join(dir, 'model.safetensors'), kind, bytes, seed);
      },
    );
  }

  generic(bytes: number): Promise<Dataset> {
    return this.#make(`generic-${bytes}-${this.#seed}`, `one file of ${binarySize(bytes)} of random bytes`, (dir) => {
      writeGeneric(join(dir, 'blob.bin'), bytes, this.#seed);
    });
  }

  smallFiles(count: number, fileBytes: number): Promise<Dataset> {
    const description = `${count.toLocaleString('en')} files of ${binarySize(fileBytes)} of random bytes in folders of 1000`;
    return this.#make(`files-${count}-${fileBytes}-${this.#seed}`, description, (dir) => {
      writeSmallFiles(dir, count, fileBytes, this.#seed);
    });
  }

  tinyTensors(count: number): Promise<Dataset> {
    const description = `safetensors files with ${count.toLocaleString('en')} tensors of 16 bytes`;
    return this.#make(`tiny-tensors-${count}-${this.#seed}`, description, (dir) => {
      writeTinyTensors(dir, count, this.#seed);
    });
  }

  /** Several versions of one model folder, oldest first: published releases, or with `generated` small stand-ins that need no network. */
  async versions(generated: boolean): Promise<{ description: string; versions: Dataset[] }> {
    const versions: Dataset[] = [];
    if (generated) {
      for (const variant of [0, 1]) versions.push(await this.#generatedVersion(variant));
      return { description: 'two generated versions of one folder', versions };
    }
    for (const release of RELEASES)
      versions.push(await this.#make(`human-models-${release}`, release, (dir) => fetchRelease(dir, release)));
    return { description: RELEASES_DESCRIPTION, versions };
  }

  #generatedVersion(variant: number): Promise<Dataset> {
    const bytes = 6 << 20;
    return this.#make(`version-${variant}-${this.#seed}`, `version ${variant}`, (dir) => {
      writeWeights(join(dir, 'kept.safetensors'), 'bf16', bytes, this.#seed);
      writeWeights(join(dir, 'retrained.safetensors'), 'bf16', bytes, this.#seed + 7919 * (variant + 1));
    });
  }

  /** A folder under its final name is complete: it was renamed there. */
  async #make(name: string, description: string, fill: (dir: string) => void | Promise<void>): Promise<Dataset> {
    const dir = join(this.#dir, name);
    const found = await stat(dir).catch(() => undefined);
    if (found === undefined) {
      this.#log(`  making ${name}`);
      const partial = `${dir}.partial`;
      await rm(partial, { recursive: true, force: true });
      mkdirSync(partial, { recursive: true });
      await fill(partial);
      await rename(partial, dir);
    }
    return { dir, description, ...(await measureFolder(dir)) };
  }

  /** Makes the folder of the library itself. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
  }
}

async function measureFolder(dir: string): Promise<{ bytes: number; files: number }> {
  let bytes = 0;
  let files = 0;
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    bytes += (await stat(join(entry.parentPath, entry.name))).size;
    files++;
  }
  return { bytes, files };
}
