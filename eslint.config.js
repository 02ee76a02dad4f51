import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { diskDoor } from './scripts/lib/disk-door.mjs';
import { layerRules } from './scripts/lib/layers.mjs';

const CORE = 'packages/core/src';

/** Of what a package may import from this workspace; anything from elsewhere is left to its package.json. */
const only = (files, ...allowed) => ({
  files: [files],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^@cairn/(?!(${allowed.join('|') || '-'})$)`,
            message: 'packages meet through their public exports, and imports point downward only',
          },
          { regex: '^(\\.\\./)+(packages/)?(core|cli|gpu-runner)/', message: 'import a package by its name' },
        ],
      },
    ],
  },
});

export default defineConfig(
  globalIgnores(['**/dist/', '**/node_modules/', '**/*.as.ts', 'bench/results/', 'docs/api/', '.cache/']),
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      // An async method without await is how a synchronous answer fits an asynchronous interface.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      eqeqeq: 'error',
      'no-constant-condition': ['error', { checkLoops: false }],
      'prefer-const': 'error',
    },
  },
  // Configuration of tools, part of no project.
  { files: ['*.ts'], extends: [tseslint.configs.disableTypeChecked], languageOptions: { parserOptions: { projectService: false } } },
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'console',
          'process',
          'Buffer',
          'URL',
          'performance',
          'setTimeout',
          'clearTimeout',
          'setImmediate',
          'queueMicrotask',
          'AbortController',
          'AbortSignal',
          'WebAssembly',
          'TextEncoder',
          'TextDecoder',
          'structuredClone',
          'fetch',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  { files: ['packages/*/src/**/*.ts'], ignores: ['packages/cli/**'], rules: { 'no-console': 'error' } },
  // Tests reach into what they test, and look at values of any shape.
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
    },
  },
  // Sees a lost `this` in every function that an object of plain functions hands out.
  { files: ['test/**/*.ts', 'bench/**/*.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  ...layerRules(CORE),
  diskDoor(CORE),
  only('packages/cli/src/**/*.ts', 'core'),
  only('packages/gpu-runner/src/**/*.ts', 'core'),
  only('examples/**/*.ts', 'core'),
  only('examples/{onnx-inference,gpu-consumers,gpu-verify}/**/*.ts', 'core', 'gpu-runner'),
  only('examples/tour/**/*.ts', 'core', 'example-onnx-inference'),
);
