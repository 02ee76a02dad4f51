import fs from 'node:fs';
import { defineModel, type Weights } from '@cairn/gpu-runner';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** What is made of the weights, once per process and version. */
interface State {
  session: InferenceSession;
  weights: Weights;
}

/** Where the weights are. */
type Place = { volume: string; path: string };

/** The text recogniser of PaddleOCR. This module is loaded in each inference process. */
export default defineModel<State, Place>({
  volume: ({ volume }) => volume,
  path: ({ path }) => path,

  async enter({ weights }) {
    // The engine opens a path, and what it opens is memory: `/proc/self/fd/N`.
    return { session: await InferenceSession.create(weights.filePath()), weights };
  },

  async exit({ session }) {
    await session.release();
  },

  methods: {
    /** Scores of an image of height 48, as (1, 3, 48, width) floats. */
    async recognise({ session }: State, pixels: Float32Array): Promise<{ pid: number; scores: Float32Array }> {
      return { pid: process.pid, scores: await scoresOf(session, pixels) };
    },

    /** Of the mapped weights in this process: what is resident, and its share in what several processes have. In bytes. */
    memory({ weights }: State): { pid: number; resident: number; share: number } {
      // Touched, so that every page is in this process's account.
      weights.file().reduce((sum, byte) => sum ^ byte, 0);
      const [resident, share] = mapped('/memfd:cairn');
      return { pid: process.pid, resident, share };
    },
  },
});

export async function scoresOf(session: InferenceSession, pixels: Float32Array): Promise<Float32Array> {
  const input = new Tensor('float32', pixels, [1, 3, 48, pixels.length / (3 * 48)]);
  const outputs = await session.run({ [session.inputNames[0]!]: input });
  return Float32Array.from(outputs[session.outputNames[0]!]!.data as Float32Array);
}

/** Rss and Pss of the mappings of a file, from /proc/self/smaps. */
function mapped(name: string): [resident: number, share: number] {
  const totals = { Rss: 0, Pss: 0 };
  let wanted = false;
  for (const line of fs.readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) wanted = line.includes(name);
    const found = /^(Rss|Pss):\s+(\d+) kB/.exec(line);
    if (wanted && found !== null) totals[found[1] as 'Rss' | 'Pss'] += Number(found[2]) * 1024;
  }
  return [totals.Rss, totals.Pss];
}
