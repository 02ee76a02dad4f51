import type { Inspection, Version } from './inspection.mjs';
import { describe, type Move, type Step } from './record.js';
import { difference, treeAfter, treeOfFiles, type Generation } from './trees.js';

/** Something that a volume promises and a history breaks. */
export interface Violation {
  kind:
    /** A commit that was acknowledged, or a version that somebody saw, is not in the history, and nobody pruned it. */
    | 'lost'
    /** A version that nobody made, or one that its author made once and that is there twice or as something else. */
    | 'forged'
    /** Generations or parents do not form one chain. */
    | 'chain'
    /** A version's files are not what its author's changes make of the version before. */
    | 'fold'
    /** Somebody saw files that are no version's: half of a commit, or a view that changed. */
    | 'view'
    /** Somebody was shown a head older than one that had been acknowledged or seen before they asked. */
    | 'stale'
    /** Somebody saw a version before its author asked for it. */
    | 'future'
    /** A tag names what no order of the calls explains. */
    | 'tag'
    /** A prune removed what its policy, or a tag, keeps. */
    | 'prune'
    /** A call failed that has no reason to. */
    | 'failed'
    /** The store itself finds damage. */
    | 'damage'
    /** Something that a dead process was writing is still there. */
    | 'left';
  what: string;
}

/** What may fail for a good reason while others prune and tag: the version or tag is gone. */
const MAY_FAIL: { [move: string]: string[] } = {
  tag: ['CAIRN_SNAPSHOT_NOT_FOUND'],
  hold: ['CAIRN_SNAPSHOT_NOT_FOUND'],
};

/**
 * Judges what actors told of their moves on one volume, by what is left of it in the end. Can be asked again when there is more:
 * what the trees of earlier versions have to be is not worked out twice.
 */
export class Judge {
  /** Versions whose files could not be checked, since nobody who lives knows what was pruned before them. */
  unchecked = 0;
  private readonly moves: Move[] = [];
  private readonly generations = new Map<number, Generation>();

  hear(moves: readonly Move[]): void {
    this.moves.push(...moves);
  }

  /** @param options failing: calls had reason to fail, on a disk that was cut off. */
  judge(found: Inspection, { failing = false } = {}): Violation[] {
    const violations: Violation[] = [];
    const add = (kind: Violation['kind'], what: string): void => void violations.push({ kind, what });
    this.checkHistory(found.versions, add);
    this.checkPrunes(found.versions, add);
    this.foldTrees(found.versions, add);
    this.checkViews(add);
    this.checkTimes(add);
    this.checkTags(found.tags, add);
    if (!failing)
      for (const move of this.moves)
        if (move.outcome === 'failed' && !MAY_FAIL[move.move]?.includes(move.code!)) add('failed', `${describe(move)}: ${move.why}`);
    return violations;
  }

  private get commits(): Move[] {
    return this.moves.filter(({ move }) => move === 'commit');
  }

  private checkHistory(versions: Version[], add: Add): void {
    const byMessage = new Map(this.commits.map((move) => [move.message, move]));
    const messages = new Set<string>();
    versions.forEach(({ id, parent, generation, message, steps }, i) => {
      const move = byMessage.get(message);
      if (move === undefined) add('forged', `nobody made ${message}`);
      else if (messages.has(message)) add('forged', `${message} is there twice`);
      else if (move.steps !== steps) add('forged', `${message} does not say what its author did`);
      else if (move.outcome === 'done' && move.id !== id) add('forged', `${describe(move)} is there as ${id}`);
      messages.add(message);
      const before = versions[i - 1];
      if (before === undefined) return;
      if (generation <= before.generation) add('chain', `generation ${generation} follows ${before.generation}`);
      else if (generation === before.generation + 1 && parent !== before.id) add('chain', `the parent of ${generation} is another`);
    });
  }

  /** Whatever somebody knows to have been a version is there, or was pruned by a call that was allowed to. */
  private checkPrunes(versions: Version[], add: Add): void {
    const there = new Map(versions.map(({ generation, id }) => [generation, id]));
    const newest = versions.at(-1)?.generation ?? 0;
    const prunes = this.moves.filter(({ move }) => move === 'prune');
    const removed = new Set(prunes.flatMap((prune) => prune.removed ?? []).map(({ id }) => id));
    const unfinished = prunes.filter(({ outcome }) => outcome !== 'done');
    const mayBeGone = (generation: number): boolean => unfinished.some(({ keepLast }) => generation <= newest - keepLast!);
    for (const move of this.moves) {
      const { id, generation } = move;
      if (move.outcome !== 'done' || generation === undefined || generation === 0 || id === null || id === undefined) continue;
      if (there.get(generation) === id || removed.has(id)) continue;
      if (there.has(generation) || !mayBeGone(generation)) add('lost', describe(move));
    }
    for (const prune of prunes) {
      for (const gone of prune.removed ?? []) {
        if (gone.generation > newest - prune.keepLast!)
          add('prune', `${describe(prune)} removed generation ${gone.generation} of ${newest}`);
        if (this.wasTagged(gone.id, prune)) add('prune', `${describe(prune)} removed generation ${gone.generation}, which has a tag`);
      }
    }
  }

  /** Whether some tag named it all the while that a call took, whatever the order of the calls on that tag. */
  private wasTagged(id: string, during: Move): boolean {
    const tags = this.moves.filter(({ move }) => move === 'tag');
    return tags.some(
      (set) =>
        set.outcome === 'done' &&
        set.id === id &&
        set.to < during.from &&
        !tags.some((other) => other !== set && other.tag === set.tag && other.to > set.from && other.from < during.to),
    );
  }

  private foldTrees(versions: Version[], add: Add): void {
    const surviving = new Map(versions.map((version) => [version.generation, version]));
    const told = new Map<number, { id: string; steps: string | undefined }>();
    const steps = new Map(this.commits.map((move) => [move.message, move.steps]));
    for (const { move, outcome, generation, id, changed, message } of this.moves)
      if (move === 'commit' && outcome === 'done' && changed === true) told.set(generation!, { id: id!, steps: steps.get(message) });
    for (const { removed = [] } of this.moves)
      for (const { generation, id, message } of removed) told.set(generation, { id, steps: steps.get(message) });
    const newest = Math.max(0, ...surviving.keys());
    for (let number = 1; number <= newest; number++) {
      const version = surviving.get(number);
      const known = version ?? told.get(number);
      if (known === undefined || this.generations.get(number)?.id === known.id) continue;
      const tree = known.steps === undefined ? undefined : treeAfter(JSON.parse(known.steps) as Step[], this.generations, number);
      if (version !== undefined && tree !== undefined) {
        const wrong = difference(tree, version.files);
        if (wrong !== undefined) add('fold', `generation ${number}, ${version.message}: ${wrong}`);
      }
      if (version !== undefined && tree === undefined) this.unchecked++;
      this.generations.set(number, { id: known.id, tree: version === undefined ? tree : treeOfFiles(version.files) });
    }
    // Contents are read again each time: what was right once has to stay so.
    for (const { generation, message, files } of versions) {
      const wrong = difference(this.generations.get(generation)!.tree!, files);
      if (wrong !== undefined) add('view', `generation ${generation}, ${message}, changed: ${wrong}`);
    }
  }

  private checkViews(add: Add): void {
    for (const move of this.moves) {
      if (move.files === undefined || move.generation === undefined) continue;
      if (move.generation === 0) {
        if (Object.keys(move.files).length > 0) add('view', `${describe(move)} saw files before there were any`);
        continue;
      }
      const generation = this.generations.get(move.generation);
      if (generation === undefined || generation.id !== move.id) continue; // not in the history: said elsewhere
      const wrong = generation.tree === undefined ? undefined : difference(generation.tree, move.files);
      if (wrong !== undefined) add('view', `${describe(move)}: ${wrong}`);
    }
  }

  /**
   * The head is one register: calls that do not overlap see it in their order, whichever process made them. As its values are numbered
   * by the history itself, that is all there is to linearizability here.
   */
  private checkTimes(add: Add): void {
    const isWrite = ({ move, changed }: Move): boolean => move === 'commit' && changed === true;
    const asking = this.moves.filter(
      ({ move, outcome, generation }) =>
        outcome === 'done' && generation !== undefined && ['commit', 'reload', 'look', 'hold'].includes(move),
    );
    const ended = [...asking].sort((a, b) => a.to - b.to);
    let at = 0;
    let newest: Move | undefined;
    for (const move of [...asking].sort((a, b) => a.from - b.from)) {
      for (; at < ended.length && ended[at]!.to < move.from; at++)
        if (newest === undefined || ended[at]!.generation! > newest.generation!) newest = ended[at];
      if (newest === undefined) continue;
      const isBehind = move.generation! < newest.generation! || (isWrite(move) && move.generation === newest.generation);
      if (isBehind) add('stale', `${describe(move)} comes after ${describe(newest)}`);
    }
    const begun = new Map(this.commits.map((move) => [move.message, move.from]));
    const authors = new Map(asking.filter(isWrite).map(({ generation, message }) => [generation, message]));
    for (const move of asking) {
      const author = authors.get(move.generation);
      if (author !== undefined && begun.get(author)! > move.to) add('future', `${describe(move)} is before ${author} was asked for`);
    }
  }

  /** Each tag is a register too: what it names in the end was set by a call after which no other one began and ended well. */
  private checkTags(tags: { [tag: string]: string }, add: Add): void {
    const calls = new Map<string, Move[]>();
    for (const move of this.moves) if (move.move === 'tag') calls.set(move.tag!, [...(calls.get(move.tag!) ?? []), move]);
    for (const tag of Object.keys(tags)) if (!calls.has(tag)) add('tag', `nobody made the tag ${tag}`);
    for (const [tag, moves] of calls) {
      const now = tags[tag] ?? null;
      const isLast = (set: { to: number }): boolean => !moves.some(({ outcome, from }) => outcome === 'done' && from > set.to);
      const candidates = moves.filter(({ id }) => id === now);
      const neverSet = now === null && isLast({ to: -Infinity });
      // A call that failed or was cut short may have happened, and what it left in the journal may count only later.
      if (!neverSet && !candidates.some((set) => isLast(set.outcome === 'done' ? set : { to: Infinity })))
        add('tag', `${tag} names ${now?.slice(0, 8) ?? 'nothing'}`);
    }
  }
}

type Add = (kind: Violation['kind'], what: string) => void;
