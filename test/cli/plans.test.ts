import { describe, expect, test } from 'vitest';
import { parsePlace } from '../../packages/cli/src/place.js';
import { planPut } from '../../packages/cli/src/put-plan.js';
import { planTransfer } from '../../packages/cli/src/transfer-plan.js';

describe('a place is VOL[@REF][:/PATH]', () => {
  test.each([
    ['llama', { volume: 'llama' }],
    ['llama@v1', { volume: 'llama', ref: 'v1' }],
    ['llama:/a b/ü.bin', { volume: 'llama', path: '/a b/ü.bin' }],
    ['llama@HEAD~1:/a@b:c', { volume: 'llama', ref: 'HEAD~1', path: '/a@b:c' }],
    ['llama@2026-01-31T10:20:30Z:/x', { volume: 'llama', ref: '2026-01-31T10:20:30Z', path: '/x' }],
  ])('%s', (text, place) => expect(parsePlace(text)).toEqual(place));

  test.each(['', '@v1', ':/path', 'llama@', 'llama@:/path'])('%j is refused', (text) => {
    expect(() => parsePlace(text)).toThrow(
      expect.objectContaining({ code: 'CAIRN_INVALID_ARGUMENT', hint: expect.stringContaining('VOL[@REF]') as string }),
    );
  });
});

describe('put: a REMOTE that ends in / takes the name of LOCAL', () => {
  test.each([
    [['v', ['model.bin']], '/model.bin'],
    [['v', ['some/dir/model.bin', '/']], '/model.bin'],
    [['v', ['some/dir/model.bin', 'weights/']], 'weights/model.bin'],
    [['v', ['some/dir/model.bin', '/other.bin']], '/other.bin'],
    [['v', ['folder/', '/']], '/folder'],
    [['v', ['.', '/models/']], '/models'],
    [['v', ['folder/.']], '/'],
    [['v:/weights/', ['model.bin']], '/weights/model.bin'],
    [['v:/weights/new.bin', ['model.bin']], '/weights/new.bin'],
    [['v', ['-', '/from stdin']], '/from stdin'],
  ] as const)('%j', ([place, paths], remote) => {
    expect(planPut(place, [...paths], undefined)).toEqual({ volume: 'v', uploads: [{ local: paths[0], remote }] });
  });

  test('-t takes any number of sources', () => {
    expect(planPut('v', ['a', 'b/c'], '/weights/')).toMatchObject({ uploads: [{ remote: '/weights/a' }, { remote: '/weights/c' }] });
    expect(planPut('v', ['a'], '/')).toMatchObject({ uploads: [{ remote: '/a' }] });
  });

  test.each([
    ['v', ['a', 'b', 'c'], undefined],
    ['v:/x', ['a', 'b'], undefined],
    ['v:/x', ['a'], '/y'],
    ['v@v1', ['a'], undefined],
    ['v', ['-', 'folder/'], undefined],
  ])('%s %j -t %s is refused', (place, paths, folder) => {
    expect(() => planPut(place, paths, folder)).toThrow(expect.objectContaining({ code: 'CAIRN_INVALID_ARGUMENT' }));
  });
});

describe('cp and mv: VOL SRC… DST, or full places', () => {
  test.each([
    [['v', '/a', '/b'], ['v:/a'], 'v:/b'],
    [['v', 'a', 'b', 'c/'], ['v:a', 'v:b'], 'v:c/'],
    [['v@v1:/a', 'v:/b'], ['v@v1:/a'], 'v:/b'],
    [['w:/a', 'u@v1:/x', 'v:/b/'], ['w:/a', 'u@v1:/x'], 'v:/b/'],
    [['v', 'w@HEAD~2:/a', '/b'], ['w@HEAD~2:/a'], 'v:/b'],
    [['v', 'w@2026-01-31T10:20:30Z:/a', '/b'], ['w@2026-01-31T10:20:30Z:/a'], 'v:/b'],
    [['v@v1', '/a', 'v:/b'], ['v@v1:/a'], 'v:/b'],
    [['v', '/odd:/name', '/b'], ['v:/odd:/name'], 'v:/b'],
  ])('%j', ([first = '', ...others], sources, target) => {
    const plan = planTransfer(first, others);
    const word = (place: { volume: string; ref?: string; path: string }): string =>
      `${place.volume}${place.ref === undefined ? '' : `@${place.ref}`}:${place.path}`;
    expect([plan.sources.map(word), word(plan.target)]).toEqual([sources, target]);
  });

  test.each([[['v', '/a']], [['v:/a']], [['v:/a', '/b']], [['v@v1', '/a', '/b']], [['v', '/a', 'w@v1:/b']]])(
    '%j is refused',
    ([first = '', ...others]) => {
      expect(() => planTransfer(first, others)).toThrow(expect.objectContaining({ code: 'CAIRN_INVALID_ARGUMENT' }));
    },
  );
});
