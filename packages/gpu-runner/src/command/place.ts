import fs from 'node:fs';
import path from 'node:path';
import { InvalidArgumentError, openStore, type Store } from '@cairn/core';
import type { ModelRequest } from '../protocol/messages.js';

/** `VOL[@REF][:/PATH]`, as the command `cairn` writes places. */
export function parsePlace(place: string, options: Omit<ModelRequest, 'volume' | 'path' | 'ref'> = {}): ModelRequest {
  const found = /^([^@:/]+)(?:@([^:]+))?(?::\/?(.*))?$/.exec(place);
  if (found === null) throw new InvalidArgumentError(`no place: '${place}'`, 'write VOLUME:/PATH or VOLUME@REF:/PATH');
  const [, volume = '', ref, file = ''] = found;
  return { volume, path: file, ...(ref === undefined ? {} : { ref }), ...options };
}

/** `--store`, `CAIRN_STORE`, or the nearest `.cairn` upward. */
export async function openStoreOf(option: string | undefined): Promise<Store> {
  return openStore(option ?? process.env['CAIRN_STORE'] ?? nearestStore(process.cwd()), { create: false, readOnly: true });
}

function nearestStore(start: string): string {
  for (let folder = start; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, '.cairn');
    if (fs.existsSync(candidate)) return candidate;
    if (folder === path.dirname(folder)) return path.join(start, '.cairn');
  }
}
