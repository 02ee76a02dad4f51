import fs from 'node:fs';
import path from 'node:path';

/** The first of the names for one, two, … that nothing in a store's quarantine has. */
export function freeName(quarantineDir: string, nameOf: (number: number) => string): string {
  for (let number = 1; ; number++) {
    const name = nameOf(number);
    if (fs.lstatSync(path.join(quarantineDir, name), { throwIfNoEntry: false }) === undefined) return name;
  }
}
