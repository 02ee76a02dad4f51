import fs from 'node:fs';
import { detectLayout, GENERIC_LAYOUT, type Layout } from '../chunking/layout.js';
import { chunkEntry, TreeBuilder } from '../content/build.js';
import type { ContentRef } from '../content/content.js';
import { reads } from '../disk/reads.js';
import { isCairnError, SourceChangedError } from '../errors.js';
import type { NodeSink } from '../objects/node-store.js';
import { chunkRows } from '../workers/chunk-rows.js';
import type { Lanes } from '../workers/lanes.js';
import { type OpenSource, planLarge } from './large-plan.js';
import type { UnitResult } from './messages.js';
import { isUnchanged, openSource, READ_ATTEMPTS, settledStat, sourceError, sourceStat, statOf, type SourceStat } from './source.js';
import type { IngestOperation, UnitRunner } from './unit-runner.js';

/** Holds the header of most models. */
const FIRST_PREFIX_BYTES = 128 << 10;

/** Stores one large file with all workers; the chunks are those that one worker would make of it. */
export async function storeLargeFile(
  operation: IngestOperation,
  runner: UnitRunner,
  lanes: Lanes,
  path: string,
  segmentBytes: number,
  sink: NodeSink,
): Promise<{ content: ContentRef; stat: SourceStat }> {
  const fd = openSource(path);
  try {
    for (let attempt = 1; ; attempt++) {
      const before = await settledStat(path, fd);
      const rows = await attemptLarge(operation, runner, lanes, { path, fd, size: Number(before.size) }, segmentBytes);
      if (rows !== 'changed' && isUnchanged(before, statOf(path, fd))) {
        const tree = new TreeBuilder(sink);
        for (const part of rows) {
          for (const { digest, length } of chunkRows(part)) tree.push(chunkEntry(digest, length));
          // A very large file has millions of chunks: others get their turn.
          await new Promise(setImmediate);
        }
        return { content: tree.finish(), stat: sourceStat(before) };
      }
      if (attempt === READ_ATTEMPTS) throw new SourceChangedError(path);
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** Chunk rows of all units in order. All tasks that use the descriptor have ended when it returns or throws. */
async function attemptLarge(
  operation: IngestOperation,
  runner: UnitRunner,
  lanes: Lanes,
  source: OpenSource,
  segmentBytes: number,
): Promise<Uint8Array[] | 'changed'> {
  const units: Promise<Uint8Array>[] = [];
  let failure: { error: unknown } | undefined;
  const failed = (error: unknown): void => void (failure ??= { error });
  try {
    const layout = await readLayout(source);
    for await (const spans of planLarge(operation, runner, source, layout, segmentBytes)) {
      await lanes.acquire();
      if (failure !== undefined) {
        lanes.release();
        break;
      }
      const order = { type: 'store-spans', path: source.path, fd: source.fd, spans } as const;
      const unit = runner
        .run<UnitResult>(operation, order, [source])
        .finally(() => lanes.release())
        .then((result) => result.rows);
      unit.catch(failed);
      units.push(unit);
    }
  } catch (error) {
    failed(error);
  }
  const settled = await Promise.allSettled(units);
  if (failure === undefined) return settled.map((unit) => (unit as PromiseFulfilledResult<Uint8Array>).value);
  if (isCairnError(failure.error, 'CAIRN_SOURCE_CHANGED')) return 'changed';
  throw failure.error;
}

async function readLayout({ path, fd, size }: OpenSource): Promise<Layout> {
  for (let want = Math.min(size, FIRST_PREFIX_BYTES); ;) {
    const prefix = Buffer.allocUnsafeSlow(want);
    for (let done = 0; done < want;) {
      const bytesRead = await reads.read(fd, prefix, done, want - done, done).catch((error: unknown) => {
        throw sourceError(path, error);
      });
      if (bytesRead === 0) throw new SourceChangedError(path);
      done += bytesRead;
    }
    const found = detectLayout(prefix, want === size);
    if ('layout' in found) return found.layout;
    if (want === size) return GENERIC_LAYOUT;
    want = Math.min(size, Math.max(found.need, want + 1));
  }
}
