/** A moment as the nanoseconds since 1970 that entries keep. */
export function toNanoseconds(date: Date): bigint {
  return BigInt(date.getTime()) * 1_000_000n;
}
