import { createHash } from 'node:crypto';

/** Everything that a store tells: heads, tags, histories and the digests of all files, a line each. */
export async function everything(store) {
  const lines = [];
  for (const { name, generation } of await store.volumes.list()) {
    const volume = await store.volumes.fromName(name, { readOnly: true });
    lines.push(`${name} ${generation} ${JSON.stringify(await volume.tags())}`);
    for await (const { id } of volume.history()) {
      const snapshot = await volume.snapshot(id);
      for (const { path, type } of await snapshot.listdir('', { recursive: true })) {
        const bytes = type === 'file' ? createHash('sha256').update(await snapshot.readFile(path)).digest('hex') : ''; // prettier-ignore
        lines.push(`file ${id} ${path} ${bytes}`);
      }
    }
  }
  return lines;
}
