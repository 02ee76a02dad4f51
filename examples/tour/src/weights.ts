import { open } from 'node:fs/promises';
import { fillGaussian, train } from './gaussian.js';

/** One tensor of bfloat16 values; its values follow from its name. */
export interface Tensor {
  name: string;
  shape: number[];
  trained?: boolean;
}

const HIDDEN = 1024;
const LAYERS = 8;
const INNER = 2816;
const VOCABULARY = 30_720;

/** A small language model of 256 MiB: the shapes of a Llama, fewer of them. */
export function baseModel(): Tensor[] {
  const tensors: Tensor[] = [{ name: 'model.embed_tokens.weight', shape: [VOCABULARY, HIDDEN] }];
  for (let layer = 0; layer < LAYERS; layer++) {
    const add = (name: string, ...shape: number[]): number => tensors.push({ name: `model.layers.${layer}.${name}.weight`, shape });
    add('input_layernorm', HIDDEN);
    for (const projection of ['q_proj', 'k_proj', 'v_proj', 'o_proj']) add(`self_attn.${projection}`, HIDDEN, HIDDEN);
    add('post_attention_layernorm', HIDDEN);
    add('mlp.gate_proj', INNER, HIDDEN);
    add('mlp.up_proj', INNER, HIDDEN);
    add('mlp.down_proj', HIDDEN, INNER);
  }
  tensors.push({ name: 'model.norm.weight', shape: [HIDDEN] });
  return tensors;
}

/** The same model after some training of its last two layers. */
export function fineTuned(model: Tensor[]): Tensor[] {
  const last = new RegExp(`\\.layers\\.(${LAYERS - 2}|${LAYERS - 1})\\.`);
  return model.map((tensor) => (last.test(tensor.name) ? { ...tensor, trained: true } : tensor));
}

/** The same model with one tensor more, near the beginning: the header grows, and nearly every byte of the file moves. */
export function withAdapter(model: Tensor[]): Tensor[] {
  const [first, ...rest] = model;
  if (first === undefined) return model;
  return [first, { name: 'model.embed_adapter.weight', shape: [4 * HIDDEN, HIDDEN] }, ...rest];
}

const sizeOf = (tensor: Tensor): number => 2 * tensor.shape.reduce((product, length) => product * length, 1);

/** Writes a safetensors file: the header's length, the header, then the tensors in the order given. */
export async function writeSafetensors(path: string, tensors: Tensor[]): Promise<void> {
  const header = headerOf(tensors);
  const buffer = new ArrayBuffer(Math.max(...tensors.map(sizeOf)));
  await using file = await open(path, 'wx');
  await file.writeFile(header);
  for (const tensor of tensors) {
    const values = new Uint16Array(buffer, 0, sizeOf(tensor) / 2);
    fillGaussian(values, tensor.name);
    if (tensor.trained === true) train(values, tensor.name);
    await file.writeFile(new Uint8Array(buffer, 0, sizeOf(tensor)));
  }
}

function headerOf(tensors: Tensor[]): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const tensor of tensors) {
    entries[tensor.name] = { dtype: 'BF16', shape: tensor.shape, data_offsets: [offset, offset + sizeOf(tensor)] };
    offset += sizeOf(tensor);
  }
  const json = JSON.stringify(entries);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, ' '));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
