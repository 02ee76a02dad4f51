/** All calls of a disk, or of a file of one, each handed on to it: what a disk of a test's puts its own in the place of. */
export function handOn(inner) {
  const names = new Set();
  for (let at = inner; at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  const calls = [...names].filter((name) => name !== 'constructor' && typeof inner[name] === 'function');
  return Object.fromEntries(calls.map((name) => [name, (...args) => inner[name](...args)]));
}
