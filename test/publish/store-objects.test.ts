import { expect, it } from 'vitest';
import { buildContent } from '../../packages/core/src/content/content.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import type { Entry } from '../../packages/core/src/manifest/entry.js';
import { Staging } from '../../packages/core/src/objects/staging.js';
import { rows } from '../../packages/core/src/pack/object-table.js';
import { rebuildState } from '../../packages/core/src/publish/rebuild-state.js';
import { storeObjects } from '../../packages/core/src/publish/store-objects.js';
import { referencesOf } from '../../packages/core/src/snapshot/references.js';
import { stagedBelow } from '../../packages/core/src/snapshot/staged-below.js';
import { makeStore, openRig } from '../support/publish-rig.js';
import { tempDir } from '../support/temp-dir.js';

/** Several transactions take the rows of a pack one run after another, and a process may be killed between two of them. */
it('objects stored ahead of a commit are indexed children first: what a crash leaves in the index refers to nothing that is not', async () => {
  const dir = tempDir();
  await makeStore(dir);
  const { parts } = (await openRig(dir)).start();
  const staging = new Staging(parts.objects, parts.hasher);
  const chunk = (text: string) => ({ digest: staging.put(ObjectKind.chunk, new TextEncoder().encode(text)), length: text.length });
  const file = (count: number, name: string): Entry => ({
    type: 'file',
    executable: false,
    mtimeNs: 1n,
    content: buildContent(
      staging,
      Array.from({ length: count }, (_, i) => chunk(`${name} ${i}`)),
    ),
  });
  const files = Array.from({ length: 1000 }, (_, i): [string, Entry] => [`small-${i}`, file(1, `small-${i}`)]);
  const root = editManifest(staging, staging, null, [...files, ['large', file(3000, 'large')]]);
  const objects = [...stagedBelow(staging, root)];
  expect(new Set(objects.map(({ kind, bytes }) => (kind === ObjectKind.chunk ? '' : `${kind}.${bytes[1]}`)))).toEqual(
    new Set(['', '1.1', '1.2', '2.0', '2.1']),
  );

  storeObjects(parts, objects);
  const [pack] = [...rebuildState(dir, parts.hasher).packs()];
  const before = new Set<string>();
  for (const { kind, digest } of rows(pack!.table)) {
    const { bytes } = staging.staged(kind, digest)!;
    for (const child of referencesOf(kind, bytes)) expect(before).toContain(`${child.kind}${digestToHex(child.digest)}`);
    before.add(`${kind}${digestToHex(digest)}`);
  }
  expect(before.size).toBe(objects.length);
});
