import { readFileSync } from 'node:fs';

/** Of this package, as seen from the bundle in dist/bundle. */
export function version(): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}
