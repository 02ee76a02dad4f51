// The layers of @cairn/core, and the lint rules that keep imports pointing downward.

/**
 * From the bottom up. A folder may import from its own line and from those above it in this list, never from those below.
 * A name that ends in `.ts` is a file of src/ itself.
 */
export const LAYERS = [
  ['util', 'errors.ts'],
  ['hash', 'chunking', 'encoding', 'disk'],
  ['pack', 'refs', 'index'],
  ['objects'],
  ['content', 'manifest', 'snapshot'],
  ['types.ts'],
  ['publish', 'ingest', 'reading', 'stamps', 'workers'],
  ['volume'],
  ['mount'],
  ['maintenance'],
  ['store', 'index.ts'],
];

/**
 * One ESLint configuration per member of a layer, made of the core rule `no-restricted-imports`.
 * @param {string} source folder that holds the layers, relative to the ESLint configuration
 */
export function layerRules(source) {
  return LAYERS.flatMap((members, level) => {
    const higher = LAYERS.slice(level + 1).flat();
    return members.map((member) => ({
      name: `layers/${member}`,
      files: [member.endsWith('.ts') ? `${source}/${member}` : `${source}/${member}/**/*.ts`],
      rules: {
        'no-restricted-imports': [
          'error',
          {
            patterns: [
              {
                regex: '^@cairn/',
                message: '@cairn/core is the bottom of the workspace: it imports no other package of it, and never itself by name',
              },
              ...(higher.length > 0 ? [upward(member, higher)] : []),
            ],
          },
        ],
      },
    }));
  });
}

/** A relative import that leaves the folder and goes to a higher layer: from `refs/` that is `../volume/…`, from a file of src/ itself `./volume/…`. */
function upward(member, higher) {
  const start = member.endsWith('.ts') ? '\\./' : '(\\.\\./)+(src/)?';
  const targets = higher.map((name) => (name.endsWith('.ts') ? `${name.replace(/\.ts$/, '')}\\.js$` : `${name}/`));
  return {
    regex: `^${start}(${targets.join('|')})`,
    message: `'${member}' lies below this one (scripts/lib/layers.mjs): move the type down, or the use of it up`,
  };
}
