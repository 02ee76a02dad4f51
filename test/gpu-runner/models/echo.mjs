// A model for tests: tells what its weights are, and fails in every way that it is asked to.
import { createHash } from 'node:crypto';
import { defineModel } from '@cairn/gpu-runner';

let entered = 0;

export default defineModel({
  volume: ({ volume = 'models' }) => volume,
  path: ({ path = 'a.bin' }) => path,
  load: ({ load = {} }) => load,
  async enter({ weights, parameters, version }) {
    if (parameters.failOnEnter) throw new Error('cannot enter');
    // For ever, as far as a test can wait.
    if (version > 1 && parameters.stuckOnReload) await new Promise((resolve) => setTimeout(resolve, 1e6));
    const file = weights.file();
    if (file.length > 0 && file[0] === 0xff) throw new Error('these weights are poison');
    console.log(`entered ${++entered}`);
    return { digest: createHash('sha256').update(file).digest('hex'), weights, version, entered, pid: process.pid };
  },
  update(state, { weights, version }) {
    console.log(`updated to ${version}`);
    return { ...state, digest: createHash('sha256').update(weights.file()).digest('hex'), version };
  },
  exit(state) {
    console.log(`exit of version ${state.version}`);
    state.exited = true;
  },
  methods: {
    digest: ({ digest, version, entered: count, pid }) => ({ digest, version, entered: count, pid }),
    add: (_state, a, b) => a + b,
    fail: () => {
      throw new Error('as asked');
    },
    die: () => process.exit(9),
    hang: () => {
      for (;;);
    },
    async slow(state, ms) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return { exited: state.exited === true, digest: createHash('sha256').update(state.weights.file()).digest('hex') };
    },
  },
});
