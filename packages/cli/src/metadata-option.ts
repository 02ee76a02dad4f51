import type { Metadata } from '@cairn/core';
import { UsageError } from './errors.js';

/** Gathers `--meta KEY=VALUE` options. Numbers, true and false keep their type. */
export function addMetadata(text: string, others: Metadata = {}): Metadata {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`'${text}' is no metadata`, 'write --meta KEY=VALUE, such as --meta loss=0.31');
  return { ...others, [text.slice(0, equals)]: typed(text.slice(equals + 1)) };
}

function typed(value: string): string | number | boolean {
  if (value === 'true' || value === 'false') return value === 'true';
  const isNumber = /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value) && Number.isFinite(Number(value));
  return isNumber ? Number(value) : value;
}
