import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** A folder to store: what every contestant is given. */
export interface Dataset {
  readonly dir: string;
  readonly bytes: number;
  readonly files: number;
  /** One line for the report, without paths. */
  readonly description: string;
}

/** `1 GiB`, `24 MiB`, `4 KiB`. */
export function binarySize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  return `${Number((bytes / 2 ** (10 * step)).toPrecision(3))} ${units[step] as string}`;
}

/** The path of the one file that a dataset of weights or of generic bytes consists of. */
export async function soleFile(data: Dataset): Promise<string> {
  const [name] = await readdir(data.dir);
  if (name === undefined) throw new Error('the dataset is empty');
  return join(data.dir, name);
}
