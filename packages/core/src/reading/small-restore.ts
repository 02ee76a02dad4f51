import type { Disk } from '../disk/disk.js';
import type { Work } from '../types.js';
import type { ReadRequest } from './plan.js';
import type { RestoreItem } from './restore.js';
import { createFile, fillFile } from './restore-task.js';

/** Makes a few small files on the main thread, where a worker would cost more than it saves. All are read before the first is made. */
export async function restoreSmall(
  disk: Disk,
  items: readonly RestoreItem[],
  { signal, onProgress }: Work,
  read: (requests: ReadRequest[]) => Promise<unknown>,
): Promise<void> {
  const files = items.map((item) => ({ item, bytes: new Uint8Array(item.content.length) }));
  await read(files.map(({ item: { content }, bytes }) => ({ content, position: 0, target: bytes })));
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  let done = 0;
  for (const [i, { item, bytes }] of files.entries()) {
    signal?.throwIfAborted();
    fillFile(disk, createFile(disk, item.path, item.executable), item.mtimeNs, (file) => file.writeSync(bytes, 0));
    done += bytes.byteLength;
    onProgress?.({ phase: 'restoring', bytes: done, totalBytes, files: i + 1, newBytes: 0 });
  }
}
