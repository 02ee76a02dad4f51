import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Which folders of test/ do not test the core in one process.
const COMMAND = ['cli', 'gpu-runner', 'bench', 'examples'].map((folder) => `test/${folder}/**/*.test.ts`);
// The core in processes that die, disks that fail, folders that others edit: half of the time, and nothing that the hash could change.
const PROCESSES = ['process', 'mount', 'crash', 'gc'].map((folder) => `test/${folder}/**/*.test.ts`);
// Hostile bytes: parsers in processes of little memory, stores from strangers. Nothing that the hash could change either.
const HOSTILE = ['fuzz', 'hostile'].map((folder) => `test/${folder}/**/*.test.ts`);
const TOOLING = ['test/tooling/**/*.test.ts'];
const PACKAGING = ['test/packaging/**/*.test.ts'];

/** What takes longest, in this order. */
const SLOW = ['test/crash/crash-states', 'test/bench/', 'test/process/', 'test/crash/', 'test/mount/', 'test/gpu-runner/', 'test/cli/'];

/** The slow files first: a fresh clone knows no times, and one that begins last would go on alone when all others have ended. */
class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => [...SLOW, ''].findIndex((part) => moduleId.includes(part));
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: SlowFirst },
    setupFiles: ['test/support/given-seed.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // The built packages run as Node runs them, unchanged: their worker threads and WASM files are found beside them.
    server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          name: 'core',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...PROCESSES, ...HOSTILE, ...COMMAND, ...TOOLING, ...PACKAGING],
        },
      },
      { extends: true, test: { name: 'processes', include: PROCESSES } },
      { extends: true, test: { name: 'hostile', include: HOSTILE, execArgv: ['--max-old-space-size=512'] } },
      { extends: true, test: { name: 'command', include: COMMAND } },
      { extends: true, test: { name: 'tooling', include: TOOLING } },
      // Installs from the registry, and may compile an addon there.
      { extends: true, test: { name: 'packaging', include: PACKAGING, testTimeout: 300_000, hookTimeout: 600_000 } },
    ],
  },
});
