import { describe, expect, test } from 'vitest';
import { digestOf, type Files, type Inspection } from '../support/histories/inspection.mjs';
import { Judge, type Violation } from '../support/histories/judge.js';
import type { Move, Step } from '../support/histories/record.js';

/** Files by their contents. */
const files = (texts: Record<string, string>): Files =>
  Object.fromEntries(Object.entries(texts).map(([path, text]) => [path, digestOf(Buffer.from(text))]));

const TREES = [{}, { x: 'one' }, { x: 'one', y: 'two' }, { x: 'three', y: 'two' }].map(files);

type History = { moves: Record<string, Move>; found: Inspection };

/** Two actors: commits that overlap, views of them, a tag, a prune of the first version. All is as it should be. */
function good(): History {
  const commit = (actor: string, from: number, to: number, generation: number, steps: Step[]): Move => ({
    ...{ actor, move: 'commit', from, to, outcome: 'done', message: `commit ${generation}`, steps: JSON.stringify(steps) },
    ...{ id: `id ${generation}`, generation, changed: true },
  });
  const view = (actor: string, move: string, from: number, to: number, generation: number): Move => ({
    ...{ actor, move, from, to, outcome: 'done', generation, id: generation === 0 ? null : `id ${generation}` },
    ...(move === 'look' || move === 'relook' ? { files: TREES[generation]! } : {}),
  });
  const moves = {
    early: view('b', 'look', 0, 3, 0),
    first: commit('a', 1, 10, 1, [['at', 0], ['write', 'x', 'one']]), // prettier-ignore
    look: view('b', 'look', 12, 14, 1),
    hold: view('b', 'hold', 12, 13, 1),
    second: commit('b', 15, 20, 2, [['at', 1], ['write', 'y', 'two']]), // prettier-ignore
    third: commit('a', 16, 22, 3, [['at', 1], ['write', 'x', 'three']]), // prettier-ignore
    reload: view('b', 'reload', 23, 24, 3),
    relook: view('b', 'relook', 25, 26, 1),
    tag: { actor: 'a', move: 'tag', from: 26, to: 27, outcome: 'done', tag: 't', id: 'id 2' } as Move,
    prune: {
      ...{ actor: 'b', move: 'prune', from: 30, to: 31, outcome: 'done', keepLast: 2 },
      removed: [{ id: 'id 1', generation: 1, message: 'commit 1' }],
    } as Move,
    last: view('a', 'look', 32, 33, 3),
  };
  const versions = [2, 3].map((generation) => ({
    ...{ id: `id ${generation}`, parent: `id ${generation - 1}`, generation, message: `commit ${generation}` },
    ...{ steps: generation === 2 ? moves.second.steps : moves.third.steps, files: TREES[generation]! },
  }));
  return { moves, found: { versions, tags: { t: 'id 2' } } };
}

function judge(change: (history: History) => void, options = {}): Violation['kind'][] {
  const history = good();
  change(history);
  const judge = new Judge();
  judge.hear(Object.values(history.moves));
  return [...new Set(judge.judge(history.found, options).map(({ kind }) => kind))];
}

/** Makes of a move one of which nobody was told that it ended. */
function cutShort(move: Move): void {
  if (move.move !== 'tag') delete move.id;
  delete move.generation;
  delete move.removed;
  Object.assign(move, { to: Infinity, outcome: 'unknown' });
}

describe('the judge of histories', () => {
  test('has nothing to say of one that is as it should be', () => {
    expect(judge(() => undefined)).toEqual([]);
  });

  const versionOf = ({ found }: History, generation: number): Inspection['versions'][number] => found.versions[generation - 2]!;
  const BAD: [Violation['kind'], string, (history: History) => void][] = [
    ['lost', 'the newest acknowledged commit is not there', ({ found }) => void found.versions.pop()],
    ['lost', 'an older acknowledged commit is not there', ({ found }) => void found.versions.shift()],
    ['lost', 'a version that was only seen is not there', ({ moves }) => void Object.assign(moves['last']!, { generation: 4, id: 'id 4' })],
    ['lost', 'what a prune did not remove is gone', ({ moves }) => void (moves['prune']!.removed = [])],
    ['lost', 'another commit took the place of an acknowledged one', (h) => void (versionOf(h, 3).id = 'id 3b')],
    ['forged', 'nobody made a version', (h) => void (versionOf(h, 3).message = 'commit 4')],
    ['forged', 'a commit is there twice', (h) => void h.found.versions.push({ ...versionOf(h, 3), generation: 4, id: 'id 4', parent: 'id 3' })],
    ['forged', 'a version says that other things were done', (h) => void (versionOf(h, 3).steps = versionOf(h, 2).steps)],
    ['forged', 'the message of an acknowledged commit stands at another version', (h) => void (versionOf(h, 3).id = 'id 9')],
    ['chain', 'a parent is another', (h) => void (versionOf(h, 3).parent = 'id 1')],
    ['chain', 'generations go back', ({ found }) => void found.versions.reverse()],
    ['fold', "the later commit's change is not in it", (h) => void (versionOf(h, 3).files = TREES[2]!)],
    ['fold', "the later commit undid another's change", (h) => void (versionOf(h, 3).files = files({ x: 'three' }))],
    ['fold', 'a file has other bytes', (h) => void (versionOf(h, 2).files = files({ x: 'one', y: 'tvo' }))],
    ['fold', 'a file is there that nobody wrote', (h) => void (versionOf(h, 2).files = files({ x: 'one', y: 'two', z: '' }))],
    ['view', 'half of a commit was seen', ({ moves }) => void (moves['last']!.files = files({ x: 'three' }))],
    ['view', 'a view that was held open changed', ({ moves }) => void (moves['relook']!.files = TREES[3]!)],
    ['view', 'files were seen before there were any', ({ moves }) => void (moves['early']!.files = TREES[1]!)],
    ['stale', 'a look that began after a commit had ended saw the head from before', ({ moves }) => void Object.assign(moves['last']!, { generation: 2, id: 'id 2', files: TREES[2]! })],
    ['stale', 'a reload that began after a commit had ended saw the head from before', ({ moves }) => void Object.assign(moves['reload']!, { generation: 2, id: 'id 2' })],
    ['stale', 'a head seen by one was not seen by another later', ({ moves }) => void Object.assign(moves['look']!, { from: 22, to: 22.5 })],
    ['stale', 'a commit came to lie before one that had ended when it began', ({ moves }) => void Object.assign(moves['second']!, { from: 22.5, to: 22.7 })],
    ['future', 'a version was seen before it was asked for', ({ moves }) => void Object.assign(moves['early']!, { generation: 1, id: 'id 1', files: TREES[1]!, from: 0, to: 0.5 })],
    ['tag', 'a tag names another version', ({ found }) => void (found.tags['t'] = 'id 3')],
    ['tag', 'an acknowledged tag is not there', ({ found }) => void (found.tags = {})],
    ['tag', 'a tag is there that nobody made', ({ found }) => void (found.tags['u'] = 'id 2')],
    ['tag', 'an untagging did not last', ({ moves }) => void (moves['untag'] = { ...moves['tag']!, from: 28, to: 29, id: null })],
    ['prune', 'one of the last was pruned', ({ moves }) => void (moves['prune']!.keepLast = 3)],
    ['prune', 'a tagged version was pruned', ({ moves }) => void (moves['other'] = { ...moves['tag']!, tag: 'u', id: 'id 1' })],
    ['failed', 'a call failed', ({ moves }) => void Object.assign(moves['reload']!, { outcome: 'failed', code: 'EIO' })],
  ]; // prettier-ignore
  test.each(BAD)('finds, as %s, that %s', (kind, _what, change) => {
    expect(judge(change)).toContain(kind);
  });

  const FINE: [string, (history: History) => void][] = [
    ['a commit that nobody was told of is there', ({ moves }) => cutShort(moves['third']!)],
    ['a commit that nobody was told of, or saw, is not there', ({ moves, found }) => {
      found.versions.pop();
      cutShort(moves['third']!);
      for (const name of ['reload', 'last', 'prune']) delete moves[name];
      found.versions.unshift({ ...found.versions[0]!, id: 'id 1', parent: null, generation: 1, message: 'commit 1', steps: moves['first']!.steps, files: TREES[1]! });
    }],
    ['a prune that nobody was told of removed what it may', ({ moves }) => cutShort(moves['prune']!)],
    ['a tag that nobody was told of is there', ({ moves }) => cutShort(moves['tag']!)],
    ['a tag that nobody was told of is not there', ({ moves, found }) => (cutShort(moves['tag']!), void (found.tags = {}))],
    ['one of two untaggings and taggings at once was the last', ({ moves, found }) => {
      moves['untag'] = { ...moves['tag']!, from: 26.5, to: 29, id: null };
      found.tags = {};
    }],
  ]; // prettier-ignore
  test.each(FINE)('has nothing to say when %s', (_what, change) => {
    expect(judge(change)).toEqual([]);
  });
});
