import type { Saying } from '../children.js';
import type { Files } from './inspection.mjs';

/** What an actor did on a handle, in order; see `moves.mjs`. */
export type Step = ['at' | 'reload', number] | ['write', string, string] | ['remove', string];

/** One move of one life of an actor, as far as it told of it. */
export interface Move {
  actor: string;
  move: string;
  /** Microseconds, on the clock of all processes: before it began, after it had ended (Infinity when nobody was told). */
  from: number;
  to: number;
  outcome: 'done' | 'failed' | 'unknown';
  /** What was said of it. */
  message?: string;
  steps?: string;
  tag?: string;
  keepLast?: number;
  id?: string | null;
  generation?: number;
  changed?: boolean;
  files?: Files;
  removed?: { id: string; generation: number; message: string }[];
  code?: string;
  why?: string;
}

/** The moves of one life, from what its process said. One without an end was under way when the process died. */
export function movesOf(actor: string, said: readonly Saying[]): Move[] {
  const moves: Move[] = [];
  for (const { say, at, n: _, ...told } of said) {
    if (say === 'try') moves.push({ ...(told as { move: string }), actor, from: at as number, to: Infinity, outcome: 'unknown' });
    else if (say === 'done' || say === 'failed') Object.assign(moves.at(-1)!, told, { to: at, outcome: say });
  }
  return moves;
}

export function describe({ actor, move, message, generation, id, from, to }: Move): string {
  return `${message ?? `${move} of ${actor}`}, generation ${generation ?? '?'} ${id?.slice(0, 8) ?? ''} at ${from}..${to}`;
}
