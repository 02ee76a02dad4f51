/** The part of the interface that is used; Node's type declarations leave it out. */
declare const WebAssembly: { Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer } };

const WASM_PAGE_BYTES = 65536;

/** Memory that starts on a page, as workers have it: only WebAssembly gives that. */
export function pageMemory(bytes: number): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) }).buffer, 0, bytes);
}
