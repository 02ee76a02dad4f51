import type { Store } from '@cairn/core';

export interface VolumeState {
  history: string[];
  tags: { [tag: string]: string };
  files: { [path: string]: string };
}
export type State = { [volume: string]: VolumeState };
export interface Operation {
  before?(store: Store, i: number): Promise<void>;
  run(store: Store, i: number, sources: string): Promise<void>;
  apply(state: State, i: number): void;
  applyBefore?(state: State, i: number): void;
}
export declare const OPERATIONS: { readonly [name: string]: Operation };
/** Changes that take no number. */
export declare const PREPARATION: readonly { run(store: Store): Promise<void>; apply(state: State): void }[];
export declare function prepare(store: Store, sources: string): Promise<void>;
export declare function makeSources(sources: string): void;
export declare function stateOf(store: Store, read?: Map<string, string>): Promise<State>;
export declare function after(state: State, name: string, i: number, part?: 'before' | 'run'): State;
