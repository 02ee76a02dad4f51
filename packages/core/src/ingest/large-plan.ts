import { CutSelector, TENSOR_BLOCK } from '../chunking/cuts.js';
import type { Layout } from '../chunking/layout.js';
import { AbortedError } from '../workers/operation-control.js';
import type { ScanResult, ScanTask, Span } from './messages.js';
import type { IngestOperation, UnitRunner } from './unit-runner.js';

/** A part of the file that one task looks through for triggers: small enough to be in the page cache still when it is stored. */
const SCAN_BYTES = 64 << 20;
/** A generic region up to this long is cut by the worker that stores it: every header, and the gaps between tensors. */
const SERIAL_BYTES = 8 << 20;

export interface OpenSource {
  path: string;
  fd: number;
  size: number;
}

/**
 * Plans a large file: runs of spans, about `unitBytes` each, in order. Blocks are known from the layout. Generic bytes are
 * looked through by the workers, segment by segment ahead of the one pass that picks the cuts here, so that the chunks are
 * those of a serial run. Memory does not grow with the file. When left early it ends after the last task that reads the file.
 */
export async function* planLarge(
  operation: IngestOperation,
  runner: UnitRunner,
  source: OpenSource,
  layout: Layout,
  unitBytes: number,
): AsyncGenerator<Span[]> {
  let spans: Span[] = [];
  let bytes = 0;
  const add = (span: Span, length: number): void => {
    spans.push(span);
    bytes += length;
  };
  for (const region of layout.regions) {
    const end = Math.min(region.end, source.size);
    for (let at = region.start; at < end;) {
      if (region.rule === 'blocks') {
        const room = Math.max(1, Math.ceil((unitBytes - bytes) / TENSOR_BLOCK)) * TENSOR_BLOCK;
        const length = Math.min(end - at, room);
        add({ rule: 'blocks', start: at, end: at + length, float: region.float === true }, length);
        at += length;
      } else if (end - region.start <= SERIAL_BYTES) {
        add({ rule: 'generic', start: at, end }, end - at);
        at = end;
      } else {
        for await (const lengths of genericCuts(operation, runner, source, at, end)) {
          const length = lengths.reduce((sum, one) => sum + one, 0);
          add({ rule: 'cuts', start: at, lengths }, length);
          at += length;
          if (bytes < unitBytes) continue;
          yield spans;
          [spans, bytes] = [[], 0];
        }
      }
      if (bytes < unitBytes) continue;
      yield spans;
      [spans, bytes] = [[], 0];
    }
  }
  if (spans.length > 0) yield spans;
}

/** Chunk lengths of a generic region, in order, as they become known. */
async function* genericCuts(
  operation: IngestOperation,
  runner: UnitRunner,
  source: OpenSource,
  start: number,
  end: number,
): AsyncGenerator<Uint32Array> {
  const scan = (from: number, to: number): Scan => {
    const task: ScanTask = {
      type: 'scan',
      control: operation.control.memory,
      path: source.path,
      fd: source.fd,
      regionStart: start,
      start: from,
      end: to,
    };
    const result = runner.workers.run<ScanResult>('store', task);
    result.catch(() => undefined);
    return { start: from, end: to, result };
  };
  const ahead: Scan[] = [];
  const selector = new CutSelector(start);
  let next = start;
  try {
    for (let scanned = start; scanned < end;) {
      for (; next < end && ahead.length <= runner.workers.workers; next += SCAN_BYTES)
        ahead.push(scan(next, Math.min(end, next + SCAN_BYTES)));
      const segment = ahead.shift()!;
      const { triggers, scannedTo } = await unlessAborted(operation, segment.result);
      // Where triggers are so dense that they came in parts, the rest is looked through next.
      if (scannedTo < segment.end) ahead.unshift(scan(scannedTo, segment.end));
      const cuts: number[] = [];
      const from = selector.chunkStart;
      selector.advance(triggers, triggers.length, segment.start, scannedTo, cuts);
      scanned = scannedTo;
      if (scanned === end) selector.finish(end, cuts);
      if (cuts.length > 0) yield Uint32Array.from(cuts, (cut, i) => cut - (i === 0 ? from : cuts[i - 1]!));
    }
  } finally {
    await Promise.allSettled(ahead.map((segment) => segment.result));
  }
}

interface Scan {
  start: number;
  end: number;
  result: Promise<ScanResult>;
}

async function unlessAborted<T>(operation: IngestOperation, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof AbortedError) operation.check();
    throw error;
  }
}
