import type { LoadRequest } from '../plan/request.js';
import type { Weights } from './weights.js';

/** Values that choose a model, such as a size or a language: plain data. */
export type Parameters = Record<string, unknown>;

export interface EnterContext<P extends Parameters> {
  weights: Weights;
  parameters: P;
  /** Counts the versions that this runner has had, from 1. */
  version: number;
}

/**
 * A model and what to do with it, as a module's default export: the module is loaded in each inference process. `State` is what
 * `enter` makes of the weights, such as a session of an engine.
 */
export interface ModelDefinition<State = unknown, P extends Parameters = Parameters> {
  /** The volume, or what it is for given parameters. */
  volume: string | ((parameters: P) => string);
  /** File, folder or shard index in the volume. */
  path: string | ((parameters: P) => string);
  /** Version. Default: the newest, now and at each `reload()`. */
  ref?: string;
  /** Which part, and how it is laid out. */
  load?: Omit<LoadRequest, 'path'> | ((parameters: P) => Omit<LoadRequest, 'path'>);
  /** Runs once per process start, and once per new version, with the weights in memory. */
  enter(context: EnterContext<P>): State | Promise<State>;
  /**
   * Runs, where it is there, instead of `enter` when the memory of a state was changed in place: arrays that `weights` gave show
   * the new version already. No call is under way. Resolves to the state of the new version, which may be the same; there is no
   * `exit` of the old one.
   */
  update?(state: State, context: EnterContext<P>): State | Promise<State>;
  /** Runs when a state is not used any more: the process stops, or a new version has taken over. The weights end with it. */
  exit?(state: State): void | Promise<void>;
  /** What `runner.call(name, …)` runs. Arguments and results are copied between processes (structured clone). */
  methods?: Record<string, (state: State, ...args: never[]) => unknown>;
}

/** Types a definition; changes nothing. */
export function defineModel<State, P extends Parameters = Parameters>(definition: ModelDefinition<State, P>): ModelDefinition<State, P> {
  return definition;
}
