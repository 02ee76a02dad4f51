import { appendFileSync } from 'node:fs';

/** A disk that writes down its calls: `DiskSpec.module` of the tests. Each is a line of `options.log`: the call and its path, the new one where there are two. */
export default function recordingDisk(inner, { log }) {
  const recorded =
    (call) =>
    (...args) => {
      appendFileSync(log, `${call} ${['rename', 'link'].includes(call) ? args[1] : args[0]}\n`);
      return inner[call](...args);
    };
  return Object.fromEntries(['create', 'mkdir', 'rename', 'link', 'unlink', 'syncDirectory'].map((call) => [call, recorded(call)]));
}
