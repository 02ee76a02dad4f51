/** What was seen: printed as it comes, in Markdown, to be kept in docs/gpu-verification.md. */
export class VerificationRecord {
  failures = 0;
  /** Whether figures mean anything. */
  readonly isHardware: boolean;

  constructor(isHardware: boolean) {
    this.isHardware = isHardware;
  }

  say(line: string): void {
    console.log(line);
  }

  /** Runs one check; what `work` gives is worth telling. */
  async check(name: string, work: () => Promise<string | undefined | void>): Promise<boolean> {
    try {
      const seen = await work();
      this.say(`- ok: ${name}${typeof seen === 'string' ? `: ${seen}` : ''}`);
      return true;
    } catch (error) {
      this.failures++;
      const hint = error instanceof Error && 'hint' in error ? ` (${String(error.hint)})` : '';
      this.say(`- FAILED: ${name}: ${error instanceof Error ? error.message : String(error)}${hint}`);
      return false;
    }
  }

  /** A figure, of hardware only. */
  figure(text: string): string {
    return this.isHardware ? text : 'emulated, not measured';
  }

  rate(bytes: number, milliseconds: number): string {
    return this.figure(`${(bytes / milliseconds / 1e6).toFixed(2)} GB/s`);
  }
}

/** @throws Error that shows the start of both */
export function equal(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual).slice(0, 200)} instead of ${String(expected).slice(0, 200)}`);
}

/** How a promise ended, as text. */
export async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'success';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? `${String(error.code)} ` : '';
    return code + (error instanceof Error ? error.message : String(error));
  }
}
