import { appendFileSync } from 'node:fs';
import { handOn } from './hand-on.mjs';

/** A disk that writes down its calls: `DiskSpec.module` of the tests. Each is a line of `options.log`: the call and its path, the new one where there are two. */
export default function recordingDisk(inner, { log }) {
  const recorded = ([name, call]) => [
    name,
    (...args) => {
      appendFileSync(log, `${name} ${['rename', 'link', 'symlink'].includes(name) ? args[1] : args[0]}\n`);
      return call(...args);
    },
  ];
  return Object.fromEntries(Object.entries(handOn(inner)).map(recorded));
}
