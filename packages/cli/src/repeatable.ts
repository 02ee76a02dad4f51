/** Gathers the values of an option that may be given several times. */
export function collect(value: string, others: string[] = []): string[] {
  return [...others, value];
}
