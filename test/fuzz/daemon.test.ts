import type { ContentId } from '@cairn/core';
import { checkRequest, planLoad } from '@cairn/gpu-runner';
import { describe } from 'vitest';
import { LineReader, parseRequest } from '../../packages/gpu-runner/src/protocol/messages.js';
import { fuzz } from './fuzz.js';

const PATH = 'llama/model.safetensors';
const CONTENT = 'content' as ContentId;
const SOURCE = {
  path: 'llama',
  files: [{ path: PATH, size: 3000, contentId: CONTENT }],
  tensors: ['layers.0.weight', 'layers.1.weight', 'norm'].map((name, i) => ({
    name,
    dtype: 'F32',
    shape: [8, 16],
    path: PATH,
    offset: 400 + 512 * i,
    size: 512,
    contentId: CONTENT,
  })),
};
const MODEL = { volume: 'models', path: 'llama', ref: 'HEAD~1', layout: 'tensors', include: ['layers.?.{weight,bias}', 'no*'] };
const REQUESTS = [
  { id: 1, op: 'load', cairn: 1, model: MODEL, descriptors: true, watch: true },
  { id: 2, op: 'plan', model: { ...MODEL, tensors: ['norm'], slice: { rank: 1, worldSize: 4, rows: ['*.weight'] } } },
  {
    id: 3,
    op: 'fill',
    model: { volume: 'models', path: 'llama', layout: 'files', alignmentBytes: 4096, maxRegionBytes: 1 << 20 },
    key: '0a1b',
  },
  { id: 4, op: 'update', lease: 7 },
];
const TOKENS = ['"', '\\u0000', '[', '{', '},{', '\n', '**', '*(', '"rank":', '"worldSize":', '"alignmentBytes":', '"__proto__":'];

describe('what a consumer sends to a daemon', () => {
  fuzz({
    name: 'lines of requests',
    share: 40,
    samples: [REQUESTS, ...REQUESTS.map((request) => [request])].map((requests) =>
      Buffer.from(requests.map((request) => `${JSON.stringify(request)}\n`).join('')),
    ),
    tokens: TOKENS.map((token) => Buffer.from(token)),
    check(bytes) {
      for (const line of new LineReader(10_000).push(bytes)) {
        const request = parseRequest(line);
        // What a line holds is only looked at when it is asked for.
        if ('model' in request) planLoad(SOURCE, checkRequest(request.model));
      }
    },
    memory: { perByte: 200, fixed: 2_000_000 },
  });
});
