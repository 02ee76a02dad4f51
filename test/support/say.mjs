import { writeSync } from 'node:fs';

/** What the parent process gave this one to do. */
export const input = JSON.parse(process.argv[2]);

/** Tells the parent, at once: before this process can do, or suffer, anything else. */
export function say(what, more = {}) {
  const line = Buffer.from(`${JSON.stringify({ say: what, ...more })}\n`);
  for (let done = 0; done < line.length;) done += writeSync(1, line, done);
}

/** Whether the parent has not yet asked to come to an end. */
export function untilStopped() {
  const state = { running: true };
  process.stdin.resume().once('end', () => (state.running = false));
  return state;
}
