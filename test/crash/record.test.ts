import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { tempDir } from '../support/temp-dir.js';
import { SimulatedDisk } from './simulated-disk.js';
import { readTrace } from './trace.js';

test.each([
  ['a store that is copied from and mounted', '../crash/recorded-copies.mjs'],
  ['a folder that is edited, committed and reloaded', '../crash/recorded-mount.mjs'],
])(
  'what the record of %s says is what lies on the disk, names, bytes and links: nothing is written past it',
  async (_what, script) => {
    const dir = tempDir();
    await Child.start(script, { dir, rounds: 1 }).succeeds();
    const trace = readTrace(join(dir, 'trace'));
    const disk = new SimulatedDisk(trace);
    for (const entry of trace.entries) disk.step(entry);
    const recorded = new Map([...disk.listing({ names: new Map(), files: new Map() })].map(([path, content]) => [path, shown(content)]));
    const found = new Map(treeOf(join(dir, 'disk')));
    expect([...recorded.keys()].sort()).toEqual([...found.keys()].sort());
    for (const [path, what] of found) expect(recorded.get(path), path).toBe(what);
    expect(found.size).toBeGreaterThan(20);
  },
  120_000,
);

function shown(content: { bytes: Buffer; target?: string } | null): string {
  if (content === null) return 'folder';
  return content.target === undefined ? content.bytes.toString('latin1') : `-> ${content.target}`;
}

/** All but what LMDB makes: its file is recorded as it is after each transaction, its lock never. */
function* treeOf(root: string, folder = ''): Generator<[string, string]> {
  for (const name of readdirSync(join(root, folder))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const stat = lstatSync(join(root, path));
    if (name === 'lock.mdb') continue;
    if (stat.isDirectory()) {
      yield [path, 'folder'];
      yield* treeOf(root, path);
    } else yield [path, stat.isSymbolicLink() ? `-> ${readlinkSync(join(root, path))}` : readFileSync(join(root, path), 'latin1')];
  }
}
