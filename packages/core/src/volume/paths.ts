import { InvalidNameError, InvalidPathError } from '../errors.js';
import { isName } from '../refs/names.js';

/** The longest path, and the longest name in it, in UTF-8 bytes: what Linux takes, so that any volume can be materialised. */
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;

/**
 * Brings a path to its one form: relative to the volume's root, without leading or trailing slash; the root itself is ''.
 * @throws InvalidPathError on `..`, `.` segments, empty segments, NUL, backslash, unpaired surrogates and over-long names.
 */
export function normalizePath(path: string): string {
  if (typeof path !== 'string') throw new InvalidPathError(String(path), 'not a string');
  if (path === '' || path === '/' || path === '.') return '';
  const inner = path.replace(/^\/|\/$/g, '');
  if (inner.includes('\0')) throw new InvalidPathError(path, 'it holds a NUL character');
  if (inner.includes('\\')) throw new InvalidPathError(path, 'it holds a backslash');
  if (!inner.isWellFormed()) throw new InvalidPathError(path, 'it is not well-formed Unicode');
  if (Buffer.byteLength(inner) > MAX_PATH_BYTES)
    throw new InvalidPathError(path.slice(0, 64) + '…', `it is longer than ${MAX_PATH_BYTES} bytes`);
  for (const segment of inner.split('/')) {
    if (segment === '') throw new InvalidPathError(path, 'it holds an empty segment');
    if (segment === '.' || segment === '..') throw new InvalidPathError(path, `it holds a '${segment}' segment`);
    if (Buffer.byteLength(segment) > MAX_NAME_BYTES)
      throw new InvalidPathError(path, `a name in it is longer than ${MAX_NAME_BYTES} bytes`);
  }
  return inner;
}

/** Whether a path is in its one form already. */
export function isNormalPath(path: string): boolean {
  try {
    return normalizePath(path) === path;
  } catch {
    return false;
  }
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function joinPath(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** The folders above a path, outermost first, without the root. */
export function ancestorsOf(path: string): string[] {
  const ancestors: string[] = [];
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) ancestors.push(path.slice(0, slash));
  return ancestors;
}

/** @throws InvalidNameError */
export function checkVolumeName(name: string): void {
  if (!isName(name)) throw new InvalidNameError('volume name', String(name), nameFault(name));
}

/** A tag must not read as another kind of ref. @throws InvalidNameError */
export function checkTagName(name: string): void {
  if (!isName(name)) throw new InvalidNameError('tag', String(name), nameFault(name));
  if (name === 'HEAD') throw new InvalidNameError('tag', name, 'HEAD always means the newest snapshot');
  if (/^[0-9a-f]{6,64}$/i.test(name)) throw new InvalidNameError('tag', name, 'it reads as a snapshot id');
  if (/^\d{4}-\d{2}-\d{2}/.test(name)) throw new InvalidNameError('tag', name, 'it reads as a date');
}

function nameFault(name: unknown): string {
  if (typeof name !== 'string') return 'it is not a string';
  if (name === '') return 'it is empty';
  if (name.length > 64) return 'it is longer than 64 characters';
  if (!/^[A-Za-z0-9_]/.test(name)) return 'it begins with a character that is not allowed there';
  return 'it holds a character that is not allowed';
}
