import { writeSync } from 'node:fs';

/** What the parent process gave this one to do. */
export const input = JSON.parse(process.argv[2]);

/** Tells the parent, at once: before this process can do, or suffer, anything else. */
export function say(what, more = {}) {
  const line = Buffer.from(`${JSON.stringify({ say: what, ...more })}\n`);
  for (let done = 0; done < line.length;) done += write(line.subarray(done));
}

/** Stdin and stdout may be one socket, which Node does not wait for: what is long then has to wait for a parent that is busy. */
function write(bytes) {
  for (;;) {
    try {
      return writeSync(1, bytes);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** Whether the parent has not yet asked to come to an end. */
export function untilStopped() {
  const state = { running: true };
  process.stdin.resume().once('end', () => (state.running = false));
  return state;
}
