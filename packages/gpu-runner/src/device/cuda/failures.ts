/*
 * What can go wrong in a device's thread. Plain errors, and not those that users see: these would bring the whole engine into the
 * thread, which has nothing to do with it, and starts in a third of the time without.
 */

/** A function of the driver returned an error. */
export class DriverFailure extends Error {
  readonly call: string;
  readonly result: number;
  readonly resultName: string;
  constructor(call: string, result: number, resultName: string) {
    super(`${call}: ${resultName} (${result})`);
    this.call = call;
    this.result = result;
    this.resultName = resultName;
  }
}

/** libcuda cannot be loaded. */
export class DriverMissing extends Error {
  readonly lookedFor: string[];
  constructor(lookedFor: string[]) {
    super(`looked for ${lookedFor.join(', ')}`);
    this.lookedFor = lookedFor;
  }
}

/** What was copied in reads back differently. */
export class ReadBackDiffers extends Error {
  readonly offset: number;
  readonly bytes: number;
  constructor(offset: number, bytes: number) {
    super(`${bytes} bytes at ${offset}`);
    this.offset = offset;
    this.bytes = bytes;
  }
}
