/** The face of this folder: what a file's content is, and how it is built, read and changed. */
export * from './content-ref.js';
export { buildContent } from './build.js';
export { chunksOf, type PlacedChunk } from './read.js';
export { spliceContent } from './splice.js';
