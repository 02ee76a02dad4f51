import { createHash } from 'node:crypto';
import { type State, after, PREPARATION } from '../support/operations.mjs';
import type { Fate, SimulatedFile } from './simulated-file.js';
import { type Binding, type Listing, type Outcome, SimulatedDisk, type Uncertain } from './simulated-disk.js';
import type { Change, RecordedTrace } from './trace.js';

/** What a power cut can leave, and what the store may then hold. */
export interface CrashState {
  /** Of everything on the disk: equal states have equal digests. */
  readonly digest: string;
  readonly listing: Listing;
  /** All that was acknowledged, and the same with the change that was under way. */
  readonly allowed: readonly State[];
  /** Whether a repair was under way: then the index may be in neither place, and repairing again has to end it. */
  readonly repairing: boolean;
  /** For messages: after which thing of the trace, and what became of what was uncertain. */
  readonly context: string;
}

export interface Sampling {
  /** States of one moment: all of them where they are no more, else so many. */
  perMoment: number;
  /** Torn versions of a file beyond the simple ones. */
  tears: number;
  random: (limit: number) => number;
}

/** Every moment of a run, or those from one on, and of each what a power cut in it can leave. Equal states come again, with what is allowed then. */
export function* crashStates(trace: RecordedTrace, sampling: Sampling, from = 0): Generator<CrashState> {
  const disk = new SimulatedDisk(trace);
  const outcomes = new Map<number, State>();
  for (const entry of trace.entries) if (entry.op === 'done' && 'step' in entry.change) outcomes.set(entry.change.step, entry.state!);
  let acknowledged: State = {};
  let underWay: State | undefined;
  let repairing = false;
  for (const [at, entry] of trace.entries.entries()) {
    const changed = disk.step(entry);
    if (entry.op === 'try' || entry.op === 'done') repairing = entry.op === 'try' && 'repair' in entry.change;
    if (entry.op === 'try') underWay = changedBy(acknowledged, entry.change, outcomes);
    else if (entry.op === 'done') [acknowledged, underWay] = [underWay!, undefined];
    else if (!changed) continue;
    if (at < from) continue;
    const allowed = underWay === undefined ? [acknowledged] : [acknowledged, underWay];
    for (const outcome of outcomesOf(disk.uncertain(), sampling)) {
      const listing = disk.listing(outcome);
      yield {
        digest: digestOf(listing),
        listing,
        allowed,
        repairing,
        context: `after ${at} ${JSON.stringify(entry)}, ${describe(outcome)}`,
      };
    }
  }
}

function changedBy(state: State, change: Change, outcomes: ReadonlyMap<number, State>): State {
  if ('step' in change) return outcomes.get(change.step)!;
  if ('name' in change) return after(state, change.name, change.i, change.part);
  if ('repair' in change || 'gc' in change) return state;
  const next = structuredClone(state);
  PREPARATION[change.preparation]!.apply(next);
  return next;
}

/** One way in which an uncertain thing can turn out; the first of each is that it was kept. */
type Choice = (outcome: { names: Map<Binding, number>; files: Map<SimulatedFile, Fate> }) => void;

function* outcomesOf(uncertain: Uncertain[], sampling: Sampling): Generator<Outcome> {
  const choices = uncertain.map((thing) => choicesOf(thing, sampling));
  const space = choices.reduce((product, { length }) => product * length, 1);
  const seen = new Set<string>();
  for (const picks of space <= sampling.perMoment ? everyPick(choices) : somePicks(choices, sampling)) {
    const key = picks.join();
    if (seen.has(key)) continue;
    seen.add(key);
    const outcome = { names: new Map<Binding, number>(), files: new Map<SimulatedFile, Fate>() };
    for (const [i, pick] of picks.entries()) choices[i]![pick]!(outcome);
    yield outcome;
  }
}

function choicesOf(thing: Uncertain, { tears, random }: Sampling): Choice[] {
  if (thing.kind === 'file') {
    const { file } = thing;
    return file.fates(tears, random).map(
      (fate): Choice =>
        (outcome) =>
          void outcome.files.set(file, fate),
    );
  }
  const { binding, choices } = thing;
  return Array.from(
    { length: choices },
    (_, i): Choice =>
      (outcome) =>
        void outcome.names.set(binding, choices - 1 - i),
  );
}

function* everyPick(choices: readonly Choice[][], from = 0): Generator<number[]> {
  if (from === choices.length) yield [];
  else for (const rest of everyPick(choices, from + 1)) for (let i = 0; i < choices[from]!.length; i++) yield [i, ...rest];
}

/** All kept, all lost, one thing alone lost or kept, and others by chance. */
function* somePicks(choices: readonly Choice[][], { perMoment, random }: Sampling): Generator<number[]> {
  const last = choices.map(({ length }) => length - 1);
  const none = choices.map(() => 0);
  yield none;
  yield last;
  // Those that were touched last matter most, and come last.
  for (let i = choices.length - 1; i >= Math.max(0, choices.length - perMoment / 4); i--) {
    yield none.with(i, last[i]!);
    yield last.with(i, 0);
  }
  for (let n = 0; n < perMoment / 2; n++) yield choices.map(({ length }) => random(length));
}

function digestOf(listing: Listing): string {
  const lines = [...listing].map(([path, content]) => `${path} ${content?.digest ?? ''}`).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 40);
}

function describe({ names, files }: Outcome): string {
  return `names [${[...names.values()].join()}], files [${[...files.values()].join()}]`;
}
