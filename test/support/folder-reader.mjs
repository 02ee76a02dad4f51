import { readFileSync } from 'node:fs';
import { input, say, untilStopped } from './say.mjs';

/* Reads a file again and again, as a server does that opens it for every request. Says each version that it meets, and at the end how often it read. */
const { path } = input;
const running = untilStopped();
let reads = 0;
let last;
while (running.running) {
  const text = readFileSync(path, 'utf8');
  reads++;
  if (text !== last)
    say('read', {
      version: text.slice(0, text.indexOf('\n')),
      isWhole: new Set(text.trimEnd().split('\n')).size === 1,
      length: text.length,
    });
  last = text;
  await new Promise(setImmediate);
}
say('ended', { reads });
