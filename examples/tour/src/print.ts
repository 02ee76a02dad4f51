/** Bytes in the unit that suits them, such as `256.1 MiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Bytes in a time, such as `812 MiB/s`. */
export function rate(count: number, seconds: number): string {
  const mebibytes = count / 2 ** 20 / seconds;
  return mebibytes >= 1024 ? `${(mebibytes / 1024).toFixed(2)} GiB/s` : `${mebibytes.toFixed(0)} MiB/s`;
}

/** Runs `work`, and says how many seconds it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number }> {
  const start = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - start) / 1000 };
}

let step = 0;

/** A numbered heading of the story. */
export function heading(text: string): void {
  console.log(`\n${++step}. ${text}`);
}

/** A line below a heading. */
export function line(text: string): void {
  console.log(`   ${text}`);
}

/** Rows of equal length, the first of them the head. The first column is flush left, numbers are flush right. */
export function table(rows: string[][]): void {
  const widths = rows[0]?.map((_cell, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const [index, row] of rows.entries()) {
    line(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('   '));
    if (index === 0) line('─'.repeat(widths.reduce((sum, width) => sum + width + 3, -3)));
  }
}
