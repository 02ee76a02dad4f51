import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { encodeContentNode } from '../../packages/core/src/content/node.js';
import { childAt, fileAt, folderAt, type ForgedStore, inOrder, type Item, keyOf, linkAt } from './forged-store.js';

/** One hostile tree, or several as versions of a volume. */
export interface Case {
  what: string;
  /** `refused`: reading meets damage; `strange`: it may be read, and is harmless. */
  expected: 'refused' | 'strange';
  versions: readonly Item[][];
  /** Of the nodes; 0 where it is not said. */
  level?: number;
}

/** Where a link of a test may lead that must not be reached. */
export interface Outside {
  /** Absolute. */
  dir: string;
  /** From a folder that is brought to the disk, and from one below that. */
  relative: string;
}

/** Keys that are no path, or one that leads elsewhere; bytes as characters. */
const BAD_KEYS = [
  '\0..', '\0.', '..\0x', '.\0x', 'a/..\0x', 'a/.\0x', '../a\0x', './a\0x', '../..\0x', '/etc\0passwd', '/\0x', '//\0x', 'a//b\0x', 'a/\0x', '\0', 'a\0', '',
  'x', '\0\0', '\0\0x', 'a\0b\0c', '\0a/b', '\0a/../../x', 'a\0/x', 'a\0../x', '\0..\\x', '\0a\\b', '\\\0x', 'C:\\\0x', '\\\\host\\share\0x', 'a\\..\0x',
  '\0\xff', '\0\xc0\xae\xc0\xae', '\xc0\xaf\0x', '\0\xed\xa0\x80', '\0\xed\xa0\x80\xed\xb0\x80', '\0\xf8\x88\x80\x80\x80', '\0\xc3', 'a\xe2\x80\0x', '\0\xf4\x90\x80\x80',
  `\0${'x'.repeat(4097)}`, `${'a/'.repeat(2048)}\0x`, `${'../'.repeat(40)}tmp\0x`,
]; // prettier-ignore

/** Names that a manifest may hold, and that mean something to some system, shell, terminal or person. */
const STRANGE_NAMES = [
  'CON', 'PRN', 'AUX', 'NUL', 'nul', 'COM1', 'COM9', 'LPT1', 'CON.txt', 'nul.tar.gz', 'COM1.safetensors', 'CONIN$', 'CLOCK$', 'COM\u00b9', 'C:', 'C:x', 'c:evil', 'file:stream', 'a:$DATA', '.cairn-mount::$INDEX_ALLOCATION',
  'a.', 'a ', ' a', '...', '. .', '.. ', ' ..', '..\u200b', '\u200b..', '\uff0e\uff0e', '\u2024\u2024', '..;', '..%2f', '%2e%2e', '%2e%2e%2f', '%00', 'a\u2215b', 'a\u2044b', 'a\u29f8b', '\u202etxt.exe', '\u2066x\u2069',
  '-rf', '--help', '-', '~', '~root', '$HOME', '`id`', '$(id)', '*', '?', '[a]', '{a,b}', '|', '>', '<', '"', "'", '&', ';', '!', '#', '=', '@', ':', 'HEAD', '__proto__', 'constructor', 'toString',
  'a\nb', 'a\rb', 'a\tb', '\u001b[2J', '\u001b]0;x\u0007', '\u0085', '\u2028', '\ufeff', '\ufffd', '\u{10ffff}', '\u{1f4a9}', '\u0301', 'a'.repeat(255), 'a'.repeat(256), 'é'.repeat(128), '\u{1f4a9}'.repeat(63),
  '.git', '.cairn', '.cairn-mount', '.Cairn-Mount', '.CAIRN-MOUNT', '.cairn\u200c-mount', '\uff0ecairn-mount', 'CAIRN-~1', '.cairnignore', '.new', '.tmp', 'format', 'id', 'core', 'lost+found', 'desktop.ini', 'thumbs.db',
]; // prettier-ignore

/** The hostile trees, made of objects of this store. */
export function casesFor(store: ForgedStore, outside: Outside): Case[] {
  const evil = store.text('evil\n');
  const file = (path: string): Item => fileAt(keyOf(path), evil);
  const folder = (path: string): Item => folderAt(keyOf(path));
  const link = (path: string, target: string): Item => linkAt(keyOf(path), target);
  const refused = (what: string, ...versions: Item[][]): Case => ({ what, expected: 'refused', versions });
  const strange = (what: string, ...versions: Item[][]): Case => ({ what, expected: 'strange', versions: versions.map(inOrder) });
  const away = [outside.dir, outside.relative];

  return [
    ...BAD_KEYS.map((key) => refused(`the key ${JSON.stringify(key)}`, [fileAt(key, evil)])),
    ...BAD_KEYS.slice(0, 16).map((key) => refused(`a folder with the key ${JSON.stringify(key)}`, [folderAt(key)])),
    refused('an absolute path of this disk', [fileAt(`${outside.dir}\0evil`, evil)]),
    refused('a path twice', [file('a'), file('a')]),
    refused('paths in no order', [file('b'), file('a')]),
    ...[4, 5, 0x7f, 0xff].map((kind) => refused(`an entry of kind ${kind}`, [fileAt(keyOf('a'), evil, kind)])),

    ...STRANGE_NAMES.map((name) => strange(`a file called ${JSON.stringify(name)}`, [file(name)])),
    ...['CON', 'C:', '..;', '.cairn-mount', '.CAIRN-MOUNT', '-rf', '\u202e'].map((name) =>
      strange(`a folder called ${JSON.stringify(name)}`, [folder(name), file(`${name}/id`), file(`${name}/x`)]),
    ),
    ...['.cairn-mount', '.Cairn-Mount'].map((name) =>
      strange(`files in the places of a mount's own, in ${name}`, [
        folder(name),
        file(`${name}/id`),
        folder(`${name}/incoming`),
        file(`${name}/incoming/0`),
        folder(`${name}/aside`),
        file(`${name}/aside/a`),
        file('a'),
      ]),
    ),

    strange('names that differ by case alone', [
      file('A'),
      file('a'),
      file('Straße'),
      file('STRASSE'),
      folder('D'),
      folder('d'),
      file('D/x'),
      file('d/x'),
    ]),
    strange('a folder and a file that differ by case alone', [folder('D'), file('D/x'), file('d')]),
    strange('names of two Unicode forms', [file('\u00e9'), file('e\u0301'), file('\u212b'), file('\u00c5'), file('A\u030a')]),
    strange('names that fold in special ways', [
      file('K'),
      file('\u212a'),
      file('k'),
      file('I'),
      file('\u0130'),
      file('\u0131'),
      file('i'),
      file('ß'),
      file('ẞ'),
      file('\ufb01'),
      file('fi'),
    ]),

    ...[
      '/',
      '.',
      '..',
      'a',
      '../../../../../../../../etc/passwd',
      '/etc/passwd',
      '/proc/self/mem',
      '/dev/zero',
      'x'.repeat(4095),
      '\u001b[2J',
      'C:\\Windows',
      '\\\\host\\share',
    ].map((target) => strange(`a link to ${JSON.stringify(target.slice(0, 40))}`, [link('a', target)])),
    ...away.flatMap((target) => [
      strange('a link to outside', [link('a', target)]),
      strange('a link to outside, and a file below it', [link('a', target), file('a/evil')]),
      strange('a link to outside, and folders and files below it', [
        link('a', target),
        folder('a/d'),
        file('a/d/evil'),
        link('a/d/l', '/etc'),
      ]),
      strange('a link to outside, and another path that differs by case below it', [link('A', target), folder('a'), file('a/evil')]),
      strange('a link to outside, and its other Unicode form as a folder', [
        link('\u00e9', target),
        folder('e\u0301'),
        file('e\u0301/evil'),
      ]),
      strange('a link to outside, then a file below it', [link('a', target)], [link('a', target), file('a/evil')]),
      strange(
        'a link to outside, then a folder that differs by case',
        [link('A', target)],
        [link('A', target), folder('a'), file('a/evil')],
      ),
      strange('a link to outside, then a folder in its place', [link('a', target)], [folder('a'), file('a/evil')]),
      strange(
        'a folder, then a link in its place and the file still below it',
        [folder('a'), file('a/evil')],
        [link('a', target), fileAt(keyOf('a/evil'), store.text('more evil\n'))],
      ),
      strange(
        'a folder in a folder, then a link above both',
        [folder('a'), folder('a/b'), file('a/b/evil')],
        [link('a', target), folder('a/b'), fileAt(keyOf('a/b/evil'), store.text('more evil\n'))],
      ),
      strange('a link below a link', [link('a', target), link('a/b', 'victim'), folder('c'), link('c/d', '../a')]),
      strange('a link to outside that takes the place of its victim', [link('a', target), file('a/victim')], [link('a', target)]),
      strange('a link to outside, then only what is below it', [link('a', target), file('a/victim')], [file('a/victim')]),
      strange(
        'a link that changes where it leads, and a file below it',
        [link('a', 'inside'), folder('inside'), file('inside/victim')],
        [link('a', target), folder('inside'), file('a/victim')],
      ),
    ]),

    strange('an entry below a file', [file('a'), file('a/b'), file('a/b/c')]),
    strange('an entry in no folder', [file('no/such/folder/x')]),
    strange('a folder, then a file with the entries still below it', [folder('a'), file('a/x')], [file('a'), file('a/x')]),
    strange('a folder of 500 levels', [
      ...Array.from({ length: 500 }, (_, i) => folder('d/'.repeat(i) + 'd')),
      file('d/'.repeat(500) + 'x'),
    ]),
    strange('a path of 4000 bytes', [
      ...Array.from({ length: 19 }, (_, i) =>
        folder(
          Array(i + 1)
            .fill('n'.repeat(200))
            .join('/'),
        ),
      ),
      file(`${Array(19).fill('n'.repeat(200)).join('/')}/x`),
    ]),
    ...[-(2n ** 63n), 2n ** 63n - 1n, -1n].map((mtime) => strange(`a file last changed at ${mtime}`, [fileAt(keyOf('a'), evil, 1, mtime)])),
    ...sizes(store),
    ...forgedTrees(store, evil),
  ];
}

/** Files whose sizes are lies, or too true. */
function sizes(store: ForgedStore): Case[] {
  const chunk = store.object(ObjectKind.chunk, Buffer.from('zeros, or nearly'));
  const missing = store.object(ObjectKind.snapshot, Buffer.from('no chunk of these bytes'));
  const at = (height: number, root: typeof chunk, length: number): Item[] => [fileAt(keyOf('a'), { height, root, length })];
  const node = (level: number, ...entries: { digest: typeof chunk; length: number; repeats: number }[]): typeof chunk =>
    store.object(ObjectKind.contentNode, encodeContentNode(level, entries));
  const huge = node(1, { digest: chunk, length: 16, repeats: 2 ** 49 - 1 });
  const cases: [string, Item[]][] = [
    ['more bytes than its chunk', at(0, chunk, 17)],
    ['fewer bytes than its chunk', at(0, chunk, 1)],
    ['2^53 - 1 bytes of one chunk', at(0, chunk, 2 ** 53 - 1)],
    ['a gigabyte of one small chunk', at(0, chunk, 2 ** 30)],
    ['a chunk that is not there', at(0, missing, 23)],
    ['a node that is not there', at(1, missing, 23)],
    ['a chunk in the place of a node', at(1, chunk, 16)],
    ['a node in the place of a chunk', at(0, huge, 16)],
    ['a node of another level', at(2, huge, 16 * (2 ** 49 - 1))],
    ['a node of another length', at(1, huge, 16)],
    [
      'a node in a node of its own level',
      at(2, node(2, { digest: node(2, { digest: huge, length: 5, repeats: 1 }), length: 5, repeats: 1 }), 5),
    ],
    ['chunks of another length than the node says', at(1, node(1, { digest: chunk, length: 4, repeats: 3 }), 12)],
  ];
  return cases.map(([what, items]): Case => ({ what: `a file of ${what}`, expected: 'strange', versions: [items] }));
}

/** Sound nodes that say of each other what is not so. */
function forgedTrees(store: ForgedStore, evil: ReturnType<ForgedStore['text']>): Case[] {
  const leaf = [fileAt(keyOf('a'), evil), fileAt(keyOf('b'), evil)];
  const digest = store.node(0, leaf);
  const sums = { entries: 2, files: 2, sizeBytes: 2 * evil.length };
  const cases: [string, Item[]][] = [
    ['more entries', [childAt(keyOf('b'), digest, { ...sums, entries: 2 ** 53 - 1 })]],
    ['fewer files', [childAt(keyOf('b'), digest, { ...sums, files: 0 })]],
    ['other sizes', [childAt(keyOf('b'), digest, { ...sums, sizeBytes: 2 ** 53 - 1 })]],
    ['another last key', [childAt(keyOf('c'), digest, sums)]],
    ['the same keys twice', [childAt(keyOf('b'), digest, sums), childAt(keyOf('c'), digest, sums)]],
    ['a chunk below it', [childAt(keyOf('b'), evil.root, sums)]],
  ];
  return cases.map(([what, items]): Case => ({
    what: `a tree that says it has ${what}`,
    expected: 'refused',
    versions: [items],
    level: 1,
  }));
}
