import type { Manifest } from '../protocol/manifest.js';
import type { ModelRequest, WireError } from '../protocol/messages.js';

/** From a runner to one of its processes, over Node's IPC channel. */
export type ToWorker =
  | { type: 'weights'; version: number; manifest: Manifest; inPlace?: boolean }
  | { type: 'call'; id: number; method: string; args: unknown[] }
  | { type: 'ping' }
  | { type: 'stop' };

/** From a process to its runner. */
export type FromWorker =
  | { type: 'want'; model: ModelRequest }
  | { type: 'ready'; version: number }
  | { type: 'failed'; version: number; error: WireError }
  | { type: 'result'; id: number; value: unknown }
  | { type: 'error'; id: number; error: WireError }
  | { type: 'pong' };

/** What a process is told in its environment: JSON. */
export const PARAMETERS_VARIABLE = 'CAIRN_GPU_PARAMETERS';
