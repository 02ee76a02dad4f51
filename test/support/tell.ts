import { appendFileSync } from 'node:fs';

/** Says at a test's end what it has done, and adds it to what a long run counts (`scripts/soak.mjs`). */
export function tell(what: string, counts: Readonly<Record<string, number>>): void {
  const said = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  console.log(`${what}: ${said.join(', ')}`);
  const file = process.env['CAIRN_SOAK_REPORT'];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ what, counts })}\n`);
}
