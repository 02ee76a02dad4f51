import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { tell } from '../support/tell.js';
import { tempDir } from '../support/temp-dir.js';

/** A long run sets ten million. */
const CHUNKS = Number(process.env['CAIRN_SOAK_CHUNKS'] ?? 20_000);
const MIB = 1 << 20;
/** Whatever there is to collect, up to ten million chunks. */
const LIMIT = 300 * MIB;

interface Collected {
  idle: Memory;
  peak: Memory;
  seconds: number;
  cpuSeconds: number;
  pausesMs: { run: number; p99: number; max: number };
  report: { live: number; packsDropped: number; freed: number };
}

interface Memory {
  rss: number;
  own: number;
}

// Where memory is told by /proc.
describe.skipIf(process.platform !== 'linux')('a collection of a store with very many chunks', () => {
  test('takes a few bytes of memory for each, and frees what is to be freed', async () => {
    const dir = join(tempDir(), 'store');
    await Child.start('large-index.mjs', { dir, chunks: CHUNKS }).succeeds();
    for (const dryRun of [true, false]) {
      const child = Child.start('collected-large.mjs', { dir, options: { dryRun } });
      const said = (await child.succeeds()).find(({ say }) => say === 'collected') as unknown as Collected;
      const { idle, peak, seconds, cpuSeconds, pausesMs, report } = said;
      tell(`collection of ${CHUNKS} chunks${dryRun ? ', dry run' : ''}`, {
        ownMiB: Math.round((peak.own - idle.own) / MIB),
        residentMiB: Math.round((peak.rss - idle.rss) / MIB),
        idleResidentMiB: Math.round(idle.rss / MIB),
        seconds: Math.round(seconds),
        cpuSeconds: Math.round(cpuSeconds),
        pauseRunMsAtMost: Math.round(pausesMs.run),
        pauseMsAtMost: Math.round(pausesMs.max),
        pauseMsP99: Math.round(pausesMs.p99),
      });
      expect(report.packsDropped).toBe(3);
      expect(report.live).toBeGreaterThan(CHUNKS * 60_000);
      expect(peak.own - idle.own).toBeLessThan(LIMIT);
    }
  }, 3_600_000);
});
