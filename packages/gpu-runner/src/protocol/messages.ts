import { isCairnError } from '@cairn/core';
import { GpuError, type GpuErrorCode } from '../errors.js';
import type { LoadRequest } from '../plan/request.js';
import type { DeviceInfo } from '../device/device.js';
import type { ModelStatus } from '../registry/status.js';
import { PROTOCOL_VERSION, type Manifest } from './manifest.js';

/** A model of a volume: the newest version, or the one that `ref` names. */
export interface ModelRequest extends LoadRequest {
  volume: string;
  ref?: string;
}

/** The first line that a daemon sends. */
export interface Greeting {
  cairn: typeof PROTOCOL_VERSION;
  pid: number;
  device: DeviceInfo;
}

/** One line from a consumer. The answer has the same `id`; answers come in any order. */
export type Request = { id: number } & (
  | { op: 'load'; model: ModelRequest; descriptors?: boolean; watch?: boolean }
  | { op: 'plan'; model: ModelRequest }
  | { op: 'fill'; model: ModelRequest; key: string }
  | { op: 'update'; lease: number }
  | { op: 'release'; lease: number }
  | { op: 'list' }
  | { op: 'metrics' }
);

/** Answers by operation. A failed request is answered by `{id, error}`. */
export interface Answers {
  load: { lease: number; shared: boolean; elapsedMs: number; manifest: Manifest };
  /** What a load would give, without loading: for consumers that bring the memory. */
  plan: { manifest: Manifest };
  /** First `send`: as many descriptors are expected now, with one byte. Then, when the memory is filled, the rest. */
  fill: { send: number } | { filled: true; elapsedMs: number; manifest: Manifest };
  /** The lease goes on. */
  update: { changed: boolean; elapsedMs: number; manifest: Manifest };
  release: Record<never, never>;
  list: { device: DeviceInfo; models: ModelStatus[] };
  metrics: { text: string };
}

/** Lines without an `id`: a lease that was asked to be watched has a newer version, which another `load` gives. */
export interface NewVersion {
  event: 'newVersion';
  lease: number;
  snapshot: string;
}

export interface WireError {
  code: string;
  message: string;
  hint: string;
}

/** A longer line is no message. */
export const MAX_LINE_BYTES = 64 << 20;
const MAX_REQUEST_BYTES = 1 << 20;

/** Splits a stream into lines. */
export class LineReader {
  private parts: Buffer[] = [];
  private held = 0;
  private readonly limit: number;

  constructor(limit = MAX_REQUEST_BYTES) {
    this.limit = limit;
  }

  /** The lines that are complete now. @throws GpuError when one grows over its limit */
  *push(chunk: Buffer): Generator<string> {
    for (let rest = chunk; ;) {
      const end = rest.indexOf(10);
      const part = end < 0 ? rest : rest.subarray(0, end);
      this.parts.push(part);
      this.held += part.length;
      if (this.held > this.limit) throw protocolError(`a line of more than ${this.limit} bytes`);
      if (end < 0) return;
      const line = Buffer.concat(this.parts).toString('utf8');
      [this.parts, this.held] = [[], 0];
      if (line.trim() !== '') yield line;
      rest = rest.subarray(end + 1);
    }
  }
}

/** @throws GpuError for what is no request */
export function parseRequest(line: string): Request {
  const message = parseObject(line);
  if (!Number.isSafeInteger(message['id'])) throw protocolError('a request without a numeric `id`');
  if (message['cairn'] !== undefined && message['cairn'] !== PROTOCOL_VERSION)
    throw protocolError(`version ${JSON.stringify(message['cairn'])} of the protocol, and this is ${PROTOCOL_VERSION}`);
  return message as unknown as Request;
}

export function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw protocolError('a line that is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw protocolError('a line that is no JSON object');
  return value as Record<string, unknown>;
}

export function protocolError(what: string): GpuError {
  return new GpuError('CAIRN_GPU_PROTOCOL', `the other side sent ${what}`, {
    hint: 'see docs/gpu-protocol.md, and use the same version on both sides',
  });
}

export function toWire(error: unknown): WireError {
  if (isCairnError(error)) return { code: error.code, message: error.message, hint: error.hint };
  return {
    code: 'CAIRN_GPU_PROTOCOL',
    message: error instanceof Error ? error.message : String(error),
    hint: 'this is a bug: please report it',
  };
}

/** An error of the daemon as one of ours, with the daemon's code. */
export function fromWire(error: WireError): GpuError {
  const { code, message, hint } = error;
  if ([code, message, hint].some((text) => typeof text !== 'string')) return protocolError('an error without words');
  return new GpuError(code as GpuErrorCode, message, { hint });
}
