import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { clearInterval, setInterval } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { input, say } from './say.mjs';

/*
 * Collects a store, and says what memory that took beyond an idle process, and for how long its event loop stood still: by the clock,
 * and by the time for which its thread really ran, which is the same on a machine that nobody else uses.
 */
const { dir, options } = input;
const RESOLUTION_MS = 1;

const store = await openStoreOn({ durable: false }, dir, { workers: 1 });
// Its thread that writes is part of an idle process.
await store.volumes.create(`idle-${process.pid}`);
await sleep(500);
const idle = memory();
const peak = { ...idle };
const watch = setInterval(() => {
  const now = memory();
  for (const name of Object.keys(peak)) peak[name] = Math.max(peak[name], now[name]);
}, 20);
let [ran, longestRunMs] = [runTimeMs(), 0];
const turns = setInterval(() => {
  const now = runTimeMs();
  longestRunMs = Math.max(longestRunMs, now - ran);
  ran = now;
}, RESOLUTION_MS);
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
const [start, cpu] = [performance.now(), process.cpuUsage()];
const report = await store.gc(options);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpu);
delay.disable();
clearInterval(watch);
clearInterval(turns);
await store.close();
say('collected', {
  idle,
  peak,
  seconds,
  cpuSeconds: (user + system) / 1e6,
  pausesMs: { run: longestRunMs, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
  report,
});

/** Bytes of this process: all that are resident, pages of the index that it has read among them, and what is its own. */
function memory() {
  const status = readFileSync('/proc/self/status', 'latin1');
  const bytes = (name) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]);
  return { rss: bytes('VmRSS'), own: bytes('RssAnon') + bytes('RssShmem') };
}

/** For how long this thread has run. */
function runTimeMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
}
