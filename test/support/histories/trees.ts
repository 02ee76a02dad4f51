import { mergeTrees, ModelHandle, type Node, type Tree } from '../volume-model.js';
import { contentOf, digestOf, type Files } from './inspection.mjs';
import type { Step } from './record.js';

/** A generation of the volume as it must be; its tree is unknown when its own steps are, or those of one before it. */
export interface Generation {
  id: string;
  tree: Tree | undefined;
}

/**
 * What the tree of a generation must be: the steps on the trees that they say they began on, merged onto the generation before, where
 * ours wins. Undefined when one of these trees is not known.
 */
export function treeAfter(steps: Step[], trees: ReadonlyMap<number, Generation>, generation: number): Tree | undefined {
  const treeOf = (number: number): Tree | undefined => (number === 0 ? new Map() : trees.get(number)?.tree);
  const previous = treeOf(generation - 1);
  const first = steps[0]?.[0] === 'at' ? treeOf(steps[0][1]) : previous;
  if (previous === undefined || first === undefined) return undefined;
  const handle = new ModelHandle(first);
  for (const step of steps) {
    if (step[0] === 'write') handle.writeFile(step[1], Buffer.from(digestOfText(step[2])));
    else if (step[0] === 'remove') handle.remove(step[1], true);
    else if (step[0] === 'reload') {
      const head = treeOf(step[1]);
      if (head === undefined) return undefined;
      handle.moveTo(head);
    }
  }
  return mergeTrees(handle.base, handle.tree, previous);
}

/** Trees of the model hold digests in place of contents. */
export function treeOfFiles(files: Files): Tree {
  return new Map(
    Object.entries(files).map(([path, digest]): [string, Node] => [
      path,
      digest === '/' ? { type: 'directory' } : { type: 'file', bytes: Buffer.from(digest) },
    ]),
  );
}

/** The first path at which a tree and files differ, and how; undefined when they are the same. */
export function difference(tree: Tree, files: Files): string | undefined {
  for (const path of new Set([...tree.keys(), ...Object.keys(files)])) {
    const node = tree.get(path);
    const expected = node === undefined ? undefined : node.type === 'file' ? Buffer.from(node.bytes).toString() : '/';
    if (expected !== files[path]) return `${path} is ${files[path] ?? 'missing'} and should be ${expected ?? 'missing'}`;
  }
  return undefined;
}

const DIGESTS = new Map<string, string>();

function digestOfText(text: string): string {
  const known = DIGESTS.get(text);
  if (known !== undefined) return known;
  const digest = digestOf(contentOf(text));
  if (DIGESTS.size > 50_000) DIGESTS.clear();
  DIGESTS.set(text, digest);
  return digest;
}
