import { InvalidArgumentError, PathError } from '../errors.js';
import type { Entry } from '../manifest/entry.js';
import type { IngestTally } from '../ingest/ingest.js';
import type { ReadView } from '../types.js';
import type { Engine } from './engine.js';
import { baseName, joinPath, normalizePath } from './paths.js';
import { requireEntry, View } from './read-view.js';
import type { Staging } from '../objects/staging.js';
import { storeBytes } from './store-bytes.js';
import type { WorkingTree } from './working-tree.js';

/** What is to be copied where. Paths of the destination are normalized. */
export interface CopyRequest {
  from: ReadView;
  /** The source is the very tree that is written to. */
  within: boolean;
  sources: string[];
  destination: string;
  /** The destination is meant as a folder: several sources, or a trailing slash. */
  intoFolder: boolean;
  recursive: boolean;
}

interface Copy extends CopyRequest {
  engine: Engine;
  staging: Staging;
  tally: IngestTally;
  tree: WorkingTree;
  edit: (work: () => void) => Promise<void>;
}

/**
 * Copies entries into a tree. Within one store only references are copied; from a view of another store the bytes are
 * read and stored. All or nothing.
 */
export async function copyEntries(copy: Copy): Promise<void> {
  const { from, sources, destination, tree } = copy;
  if (!(from instanceof View))
    throw new InvalidArgumentError('`from` is no volume or snapshot of this library', 'pass a Volume or Snapshot');
  const { tree: seen, nodes } = await from.sight();
  const picked = sources.map((source) => {
    const path = normalizePath(source);
    const entry: Entry = path === '' ? { type: 'directory', mtimeNs: 0n } : requireEntry(seen, path);
    if (entry.type === 'directory' && !copy.recursive)
      throw new PathError('EISDIR', path === '' ? '/' : path, 'a folder is copied only when asked for', 'pass recursive (-r)');
    return { path, entry };
  });
  const sameStore = from.engine === copy.engine;
  const aside = copy.staging.aside();
  const prepared: { path: string; entry: Entry; descendants: [string, Entry][] }[] = [];
  for (const { path, entry } of picked) {
    const moved = async (child: Entry): Promise<Entry> => {
      if (sameStore || child.type !== 'file') return child;
      const bytes = from.engine.data.stream(child.content, 0, child.content.length, { nodes, verify: from.engine.verifyReads });
      return { ...child, content: await storeBytes(copy.engine, bytes, { sink: aside, tally: copy.tally }) };
    };
    const descendants: [string, Entry][] = [];
    if (entry.type === 'directory') for (const [child, below] of seen.walk(path)) descendants.push([child, await moved(below)]);
    prepared.push({ path, entry: await moved(entry), descendants });
  }
  await copy.edit(() => {
    copy.staging.adopt(aside);
    const before = tree.root();
    try {
      const intoFolder = copy.intoFolder || tree.isFolder(destination);
      for (const { path, entry, descendants } of prepared) {
        const target = intoFolder && path !== '' ? joinPath(destination, baseName(path)) : destination;
        if (copy.within && entry.type === 'directory' && isInside(target, path)) {
          throw new PathError('EINVAL', target, 'a folder cannot be copied into itself', 'choose a destination outside of it');
        }
        tree.graft(target, entry, descendants, path);
      }
    } catch (error) {
      tree.reset(before);
      throw error;
    }
  });
}

function isInside(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}
