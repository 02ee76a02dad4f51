/**
 * Counts the bytes that code of this process asks for as typed arrays and Buffers, whether it gets them or not: a length field that
 * is believed shows here, however large the number is. What native code and strings take is bounded by the caps of the process.
 */
export class Allocations {
  /** Of one call, since the last reset. */
  largest = 0;
  total = 0;

  /** Counts from now on. There is no way back: for processes that do nothing else. */
  install(): void {
    const count = (bytes: unknown): void => {
      if (typeof bytes !== 'number') return;
      this.total += bytes;
      if (bytes > this.largest) this.largest = bytes;
      // What no test may really get: the error is what Node would say a little later.
      if (bytes > REFUSED_BYTES) throw new TypeError(`${bytes} bytes were asked for`);
    };
    const scope = globalThis as unknown as Record<string, new (...args: unknown[]) => unknown>;
    for (const [name, width] of Object.entries(WIDTHS)) {
      scope[name] = new Proxy(scope[name]!, {
        construct(original, args: unknown[], self) {
          if (typeof args[0] === 'number') count(args[0] * width);
          return Reflect.construct(original, args, self) as object;
        },
      });
    }
    const buffers = Buffer as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow']) {
      const original = buffers[name]!;
      buffers[name] = (...args) => {
        count(args[0]);
        return original.apply(Buffer, args);
      };
    }
  }

  reset(): void {
    this.largest = 0;
    this.total = 0;
  }
}

const REFUSED_BYTES = 1 << 28;

const WIDTHS = {
  ArrayBuffer: 1,
  SharedArrayBuffer: 1,
  Uint8Array: 1,
  Int8Array: 1,
  Uint16Array: 2,
  Uint32Array: 4,
  Int32Array: 4,
  Float32Array: 4,
  Float64Array: 8,
  BigInt64Array: 8,
  BigUint64Array: 8,
};
