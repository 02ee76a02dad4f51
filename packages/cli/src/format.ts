import { styleText } from 'node:util';
import prettyBytes from 'pretty-bytes';

const SHORT_ID_DIGITS = 12;
const AGE_UNITS: [string, number][] = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

/** Binary units, as the memory that weights go to is sold in. */
export function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

export function rate(bytes: number, seconds: number): string {
  return `${size(seconds > 0 ? Math.round(bytes / seconds) : bytes)}/s`;
}

export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** `3 hours ago`; a clock that is behind counts as now. */
export function age(date: Date, now = Date.now()): string {
  const seconds = (now - date.getTime()) / 1000;
  const [unit, unitSeconds] = AGE_UNITS.find(([, length]) => seconds >= length) ?? ['second', 1];
  if (unit === 'second' && seconds < 10) return 'just now';
  // In English, as everything here; Intl would take 30 ms of a start to say the same.
  return `${count(Math.floor(seconds / unitSeconds), unit)} ago`;
}

/** Local time to the minute. */
export function minute(date: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** `VOL@0123456789ab`: enough digits to be typed back. */
export function place(volume: string, id: string): string {
  return `${volume}@${shortId(id)}`;
}

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS);
}

/** A path or message as a terminal may see it: control characters of hostile names are shown, not obeyed. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** A word of a command line that a shell reads back as it is. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Coloured on terminals only; honours NO_COLOR and FORCE_COLOR. */
export function paint(style: Parameters<typeof styleText>[0], text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return styleText(style, text, { stream });
}
