import { borg } from './borg.js';
import { casync } from './casync.js';
import { cp } from './cp.js';
import type { Peer } from './peer.js';
import { restic, resticUncompressed } from './restic.js';
import { outputOf, runCommand } from './run-command.js';

interface Tool {
  /** Of Debian. */
  readonly package: string;
  readonly program: string;
  /** The command that tells the version. */
  readonly version: [string, ...string[]];
  readonly peers: readonly Peer[];
}

/** The tools that are not part of every system. */
const TOOLS: readonly Tool[] = [
  { package: 'borgbackup', program: 'borg', version: ['borg', '--version'], peers: [borg] },
  { package: 'restic', program: 'restic', version: ['restic', 'version'], peers: [restic, resticUncompressed] },
  { package: 'casync', program: 'casync', version: ['casync', '--version'], peers: [casync] },
];

/** The tools that rows compare with, and those that could not be had. */
export interface Peers {
  /** In the order of reports; `cp` is always the first. */
  readonly available: readonly Peer[];
  /** `restic 0.14.0 …`, for the machine facts. */
  readonly versions: readonly string[];
  /** One line for each tool that is absent: which rows lack it and how to install it. Empty when peers were not asked for. */
  readonly missing: readonly string[];
}

/** Finds the tools, after installing the absent ones where this process may. With `wanted` false: `cp` alone, and nothing counts as missing. */
export async function setUpPeers(wanted: boolean, log: (line: string) => void): Promise<Peers> {
  if (!wanted) return { available: [cp], versions: [], missing: [] };
  await installMissing(log);
  const available: Peer[] = [cp];
  const versions: string[] = [];
  const missing: string[] = [];
  for (const tool of TOOLS) {
    const version = await outputOf(...tool.version);
    if (version === undefined) {
      missing.push(`${tool.program} is missing. To include it: apt-get install ${tool.package}`);
    } else {
      available.push(...tool.peers);
      const [firstLine = ''] = version.split('\n');
      versions.push(firstLine);
    }
  }
  return { available, versions, missing };
}

async function installMissing(log: (line: string) => void): Promise<void> {
  const absent: string[] = [];
  for (const tool of TOOLS) if ((await outputOf(...tool.version)) === undefined) absent.push(tool.package);
  const mayInstall = process.getuid?.() === 0 && (await outputOf('apt-get', '--version')) !== undefined;
  if (absent.length === 0 || !mayInstall) return;
  log(`Installing ${absent.join(', ')} …`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await runCommand({ show: 'apt-get update', argv: ['apt-get', 'update', '-q'], env });
    await runCommand({ show: 'apt-get install', argv: ['apt-get', 'install', '-q', '-y', '--no-install-recommends', ...absent], env });
  } catch (error) {
    // The rows say which tools are missing; the reason is worth a line here.
    log(error instanceof Error ? error.message : String(error));
  }
}
