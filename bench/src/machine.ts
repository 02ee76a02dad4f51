import { readFile, statfs } from 'node:fs/promises';
import { cpus, release, totalmem, type } from 'node:os';

/** What a reader needs to judge the figures: no names, no paths. */
export interface MachineFacts {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly fileSystem: string;
  /** Extensions that hashing and WASM profit from, as the kernel names them. */
  readonly extensions: readonly string[];
  /** Versions of the tools that were compared. */
  readonly tools: readonly string[];
}

/** `f_type` of statfs(2). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlayfs',
  0x2fc12fc1: 'zfs',
  0xf2f52010: 'f2fs',
};

const EXTENSIONS = ['sse4_1', 'avx2', 'avx512f', 'avx512vl', 'sha_ni', 'neon', 'asimd'];

/** `dir` lies on the file system that is measured. */
export async function machineFacts(dir: string, tools: readonly string[]): Promise<MachineFacts> {
  const processors = cpus();
  const { type: fileSystem } = await statfs(dir);
  const description = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(description)?.[1]?.split(' '));
  return {
    processor: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    // Builders of kernels append names of their own to the version.
    kernel: `${type()} ${/^[\d.]+/.exec(release())?.[0] ?? release()}`,
    node: process.version,
    fileSystem: FILE_SYSTEMS[fileSystem] ?? `type 0x${fileSystem.toString(16)}`,
    extensions: EXTENSIONS.filter((extension) => flags.has(extension)),
    tools,
  };
}
