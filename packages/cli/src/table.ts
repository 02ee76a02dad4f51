import type { Output } from './output.js';
import { paint } from './format.js';

const NOTHING = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
};
const NO_RULES = { left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' };

/** Aligned columns under a heading, without rules. A heading that begins with `>` is aligned to the right. */
export async function printTable(output: Output, headings: string[], rows: string[][]): Promise<void> {
  const { default: Table } = await import('cli-table3');
  const table = new Table({
    head: headings.map((heading) => paint('bold', heading.replace(/^>/, ''))),
    colAligns: headings.map((heading) => (heading.startsWith('>') ? 'right' : 'left')),
    chars: { ...NOTHING, ...NO_RULES },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(...rows);
  for (const line of table.toString().split('\n')) await output.line(line.trimEnd());
}

/** `name: value` lines, values aligned; what is undefined is left out. */
export async function printFields(output: Output, fields: Record<string, string | undefined>): Promise<void> {
  const present = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
  const width = Math.max(...present.map(([name]) => name.length));
  for (const [name, value] of present) await output.line(`${paint('dim', `${name}:`.padEnd(width + 2))}${value}`);
}
