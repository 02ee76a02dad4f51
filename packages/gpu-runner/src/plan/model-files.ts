import { InvalidArgumentError, isCairnError, type ContentId, type ReadView, type TensorInfo } from '@cairn/core';

/** A file of a model as it is now. */
export interface ModelFile {
  path: string;
  size: number;
  contentId: ContentId;
}

/** What a plan is made from: everything about a model except its bytes. */
export interface ModelSource {
  path: string;
  /** In the order of their paths. */
  files: ModelFile[];
  /** By file and offset; empty for files that are no weights. */
  tensors: TensorInfo[];
}

/**
 * The files and tensors below a path: of a file, of a whole folder, or of a shard index together with its shards. Symlinks in a folder
 * are left out.
 * @throws FileNotFoundError; InvalidArgumentError for weights whose header is not true, and for a symlink.
 */
export async function readModelSource(view: ReadView, wanted: string): Promise<ModelSource> {
  const { type, path, symlinkTarget } = await view.stat(wanted);
  if (type === 'directory') return folderSource(view, path);
  if (type === 'symlink')
    throw new InvalidArgumentError(`'${path}' is a symlink to '${symlinkTarget}', which is not followed`, 'name the file itself');
  const tensors = await tensorsOf(view, path);
  const names = new Set([path, ...tensors.map((tensor) => tensor.path)]);
  return { path, files: await Promise.all([...names].sort().map((name) => modelFile(view, name))), tensors };
}

/** Whether a path of a model has the same files in another view: then all that is made of them is the same, too. */
export async function sameFiles(view: ReadView, path: string, files: readonly ModelFile[]): Promise<boolean> {
  try {
    return await compareFiles(view, path, files);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function compareFiles(view: ReadView, path: string, files: readonly ModelFile[]): Promise<boolean> {
  const entry = await view.stat(path);
  if (entry.type !== 'directory') {
    // A shard index that has not changed names the same shards.
    for (const file of files) if ((await view.stat(file.path)).contentId !== file.contentId) return false;
    return files.some((file) => file.path === entry.path);
  }
  let count = 0;
  for await (const { type, path: name, contentId } of view.iterdir(path, { recursive: true })) {
    if (type !== 'file') continue;
    const known = files[count++];
    if (known?.path !== name || known.contentId !== contentId) return false;
  }
  return count === files.length;
}

async function folderSource(view: ReadView, path: string): Promise<ModelSource> {
  const files: ModelFile[] = [];
  const tensors: TensorInfo[] = [];
  for await (const entry of view.iterdir(path, { recursive: true })) {
    if (entry.type !== 'file') continue;
    files.push(await modelFile(view, entry.path));
    // The shards are in the folder themselves.
    if (!entry.path.endsWith('.index.json')) tensors.push(...(await tensorsOf(view, entry.path)));
  }
  return { path, files, tensors };
}

async function modelFile(view: ReadView, path: string): Promise<ModelFile> {
  const { size, contentId } = await view.stat(path);
  return { path, size, contentId: contentId! };
}

/** Whatever is no weights file has no tensors: an ONNX model, a tokenizer. */
async function tensorsOf(view: ReadView, path: string): Promise<TensorInfo[]> {
  if (!/\.(safetensors|gguf|index\.json)$/.test(path)) return [];
  return view.tensors(path);
}

/** Whether an error says that a model's volume or file is not there. */
export function isMissing(error: unknown): boolean {
  return isCairnError(error, 'ENOENT') || isCairnError(error, 'CAIRN_VOLUME_NOT_FOUND') || isCairnError(error, 'ENOTDIR');
}
