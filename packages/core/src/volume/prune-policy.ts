import { InvalidArgumentError } from '../errors.js';
import type { PrunePolicy } from '../types.js';

/** What the rules look at in a snapshot. */
export interface Candidate {
  generation: number;
  createdAtMs: number;
  metadata: Record<string, unknown>;
}

/** The head and tagged snapshots are kept whatever the policy says. */
export interface PruneContext {
  nowMs: number;
  head: number;
  tagged: ReadonlySet<number>;
}

const RULES = ['keepLast', 'keepEvery', 'keepWithinMs', 'keepBest'] as const satisfies (keyof PrunePolicy)[];

/** @throws InvalidArgumentError without any rule, which would remove nearly everything, and for one that has no meaning */
export function checkPolicy(policy: PrunePolicy): void {
  const given = Object.entries(policy).filter(([, value]) => value !== undefined);
  const unknown = given.find(([name]) => !RULES.includes(name as keyof PrunePolicy));
  // A rule that is misspelt would keep nothing.
  if (unknown !== undefined) throw invalid(`no rule '${unknown[0]}'`, `the rules are ${RULES.join(', ')}`);
  if (given.length === 0)
    throw invalid('a policy without rules keeps nothing but the head and what is tagged', 'say what to keep, such as { keepLast: 10 }');
  for (const name of ['keepLast', 'keepEvery'] as const) checkCount(name, policy[name]);
  const { keepWithinMs, keepBest } = policy;
  if (keepWithinMs !== undefined && !(keepWithinMs > 0))
    throw invalid(`no such time: keepWithinMs ${keepWithinMs}`, 'give milliseconds, more than 0');
  if (keepBest === undefined) return;
  if (typeof keepBest !== 'object' || keepBest === null) throw invalid('keepBest is no rule', "write { metadata: 'loss', order: 'min' }");
  checkCount('keepBest.count', keepBest.count);
  if (typeof keepBest.metadata !== 'string' || keepBest.metadata === '')
    throw invalid('keepBest names no metadata', "write { metadata: 'loss', order: 'min' }");
  if (keepBest.order !== 'min' && keepBest.order !== 'max')
    throw invalid(`no such order: '${String(keepBest.order)}'`, "keepBest.order is 'min' or 'max'");
}

function checkCount(name: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
    throw invalid(`no such number: ${name} ${value}`, 'give a whole number, 1 or more');
}

function invalid(message: string, hint: string): InvalidArgumentError {
  return new InvalidArgumentError(message, hint);
}

/** Of some snapshots, newest first, the generations that a policy keeps. Pure. */
export function keptGenerations(
  policy: PrunePolicy,
  newestFirst: readonly Candidate[],
  { nowMs, head, tagged }: PruneContext,
): Set<number> {
  const { keepLast = 0, keepEvery, keepWithinMs, keepBest } = policy;
  const kept = new Set([head, ...tagged]);
  newestFirst.forEach(({ generation, createdAtMs }, age) => {
    const isKept =
      age < keepLast ||
      // By its number and not by its place, so that doing it again keeps the same ones.
      (keepEvery !== undefined && generation % keepEvery === 0) ||
      (keepWithinMs !== undefined && createdAtMs >= nowMs - keepWithinMs);
    if (isKept) kept.add(generation);
  });
  if (keepBest !== undefined) for (const { generation } of best(newestFirst, keepBest)) kept.add(generation);
  return kept;
}

/** Of equal values the newer one is better. What has no number there takes no part. */
function best(newestFirst: readonly Candidate[], { metadata: key, order, count = 1 }: NonNullable<PrunePolicy['keepBest']>): Candidate[] {
  const value = ({ metadata }: Candidate): number => (Object.hasOwn(metadata, key) ? metadata[key] : undefined) as number;
  const sign = order === 'min' ? 1 : -1;
  return newestFirst
    .filter((candidate) => typeof value(candidate) === 'number')
    .sort((a, b) => sign * (value(a) - value(b)))
    .slice(0, count);
}
