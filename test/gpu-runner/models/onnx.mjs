// A model of two files, an ONNX graph and its weights beside it, that onnxruntime runs from memory.
import { createRequire } from 'node:module';
import { defineModel } from '@cairn/gpu-runner';

// The engine is a dependency of the example that shows it, and of nothing else.
const { InferenceSession, Tensor } = createRequire(new URL('../../../examples/onnx-inference/package.json', import.meta.url))(
  'onnxruntime-node',
);

export default defineModel({
  volume: 'models',
  path: 'm',
  async enter({ weights }) {
    const externalData = [{ path: 'weights.onnx_data', data: weights.file('weights.onnx_data') }];
    return InferenceSession.create(weights.filePath('model.onnx'), { externalData });
  },
  exit: (session) => session.release(),
  methods: {
    async scores(session, pixels, shape) {
      const outputs = await session.run({ [session.inputNames[0]]: new Tensor('float32', pixels, shape) });
      return { pid: process.pid, scores: Float32Array.from(outputs[session.outputNames[0]].data) };
    },
  },
});
