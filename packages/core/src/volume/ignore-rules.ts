import { createRequire } from 'node:module';
import type { Ignore } from 'ignore';

/** Loaded when there are rules: it takes longer than all of a small command's other imports. */
const makeMatcher = (): Ignore =>
  (createRequire(import.meta.url)('ignore') as typeof import('ignore'))({ ignorecase: false, allowRelativePaths: true });

/** Holds patterns for the folder that it lies in, and all below, as `.gitignore` does. Stored like any other file. */
export const IGNORE_FILE = '.cairnignore';

/**
 * What of a local folder is left out, by the rules of gitignore. Patterns of the caller win over ignore files, deeper files over
 * those above them, later lines over earlier ones; what lies in a folder that is left out is left out, whatever is said of it.
 * Immutable: whoever walks a tree takes from each folder the rules for what is in it.
 */
export class IgnoreRules {
  private readonly patterns: readonly string[];
  /** Of the ignore files down to here, the deepest last, all relative to the root. */
  private readonly fromFiles: readonly string[];
  private matcher: Ignore | undefined;

  /** @param patterns relative to the root of the tree */
  constructor(patterns: readonly string[] = [], fromFiles: readonly string[] = []) {
    this.patterns = patterns;
    this.fromFiles = fromFiles;
  }

  /** The rules in a folder with an ignore file; '' is the root. Without such a file, those of the folder above hold. */
  within(folder: string, ignoreFile: string): IgnoreRules {
    const lines = ignoreFile.replace(/^\ufeff/, '').split(/\r?\n/);
    return new IgnoreRules(this.patterns, [...this.fromFiles, ...lines.flatMap((line) => fromRoot(folder, line))]);
  }

  /** Of a path relative to the root, in a folder to which these rules belong. */
  ignores(path: string, isDirectory: boolean): boolean {
    if (this.patterns.length === 0 && this.fromFiles.length === 0) return false;
    this.matcher ??= makeMatcher().add(this.fromFiles).add(this.patterns);
    return this.matcher.ignores(isDirectory ? `${path}/` : path);
  }
}

/** A line of a folder's ignore file as a pattern of the root. Comments and empty lines give none. */
function fromRoot(folder: string, line: string): string[] {
  // Spaces at the end do not count, unless a backslash stands before them.
  const text = line.replace(/((?:^|[^\\])(?:\\\\)*) +$/, '$1');
  const negation = text.startsWith('!') ? '!' : '';
  const pattern = text.slice(negation.length);
  if (text.startsWith('#') || pattern === '' || pattern === '/') return [];
  if (folder === '') return [text];
  // A slash anywhere but at the end ties a pattern to its folder.
  const isTied = pattern.slice(0, -1).includes('/');
  const top = `/${folder.replace(/[\\*?[\]]/g, '\\$&')}/`;
  return [`${negation}${top}${isTied ? pattern.replace(/^\//, '') : `**/${pattern}`}`];
}
