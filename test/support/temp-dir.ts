import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

/** A folder of the running test's own, on a real disk, removed when the test is done. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cairn-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** One for all tests of a file or a `describe`. */
export function folderOfFile(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cairn-test-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
