import { createRequire } from 'node:module';
import type { Command } from 'commander';
import type { Context } from './context.js';
import { version } from './version.js';

/** Required, since importing a CommonJS package has Node parse it twice: 6 ms of every start. */
const commander = createRequire(import.meta.url)('commander') as typeof import('commander');

/** Turns the body of a command into what commander calls: with the context first, and the options last. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- commander hands arguments over untyped; each body types its own
export type Act = (body: (context: Context, ...args: any[]) => Promise<number | void>) => (...args: any[]) => Promise<void>;

/** Gives a command its arguments, options, help and action. */
export type Define = (command: Command, act: Act) => void;

interface Entry {
  name: string;
  summary: string;
  load: () => Promise<{ define: Define }>;
}

/** Loaded when one is used: a command costs nothing to the start of the others. */
const FILES: Entry[] = [
  { name: 'put', summary: 'store files, folders or standard input in a volume', load: () => import('./commands/put.js') },
  { name: 'get', summary: 'bring a file or folder back to the local disk', load: () => import('./commands/get.js') },
  { name: 'ls', summary: 'list a folder', load: () => import('./commands/ls.js') },
  { name: 'rm', summary: 'remove files or folders', load: () => import('./commands/rm.js') },
  { name: 'cp', summary: 'copy within the store, without copying data', load: () => import('./commands/cp.js') },
];

const GROUPS: [string, Entry[]][] = [
  ['Volumes:', [{ name: 'volume', summary: 'create, list, rename, fork and delete volumes', load: () => import('./commands/volume.js') }]],
  [
    'Files:',
    [
      ...FILES,
      { name: 'mv', summary: 'move or rename files and folders', load: () => import('./commands/mv.js') },
      { name: 'cat', summary: 'write the bytes of a file to standard output', load: () => import('./commands/cat.js') },
      { name: 'stat', summary: 'show what is known about a path', load: () => import('./commands/stat.js') },
      { name: 'tensors', summary: 'list the tensors of a file of weights', load: () => import('./commands/tensors.js') },
    ],
  ],
  [
    'History:',
    [
      { name: 'log', summary: 'list the versions of a volume or a path', load: () => import('./commands/log.js') },
      { name: 'show', summary: 'show one version', load: () => import('./commands/show.js') },
      { name: 'diff', summary: 'list what differs between two versions', load: () => import('./commands/diff.js') },
      { name: 'tag', summary: 'list, set or remove tags', load: () => import('./commands/tag.js') },
      { name: 'rollback', summary: 'bring an old version back, as a new one', load: () => import('./commands/rollback.js') },
      { name: 'prune', summary: 'remove old versions by rules', load: () => import('./commands/prune.js') },
    ],
  ],
  [
    'Folders:',
    [
      { name: 'mount', summary: 'make a real folder of a volume, to work in', load: () => import('./commands/mount.js') },
      { name: 'commit', summary: 'store what changed in a mounted folder', load: () => import('./commands/commit.js') },
      { name: 'reload', summary: 'bring the newest version into a mounted folder', load: () => import('./commands/reload.js') },
      { name: 'status', summary: 'list what is not committed in a mounted folder', load: () => import('./commands/status.js') },
      { name: 'unmount', summary: 'let a mounted folder be an ordinary one', load: () => import('./commands/unmount.js') },
      { name: 'run', summary: 'run a command with volumes mounted, and commit what it writes', load: () => import('./commands/run.js') },
    ],
  ],
  [
    'Store:',
    [
      { name: 'usage', summary: 'what volumes and versions take on disk', load: () => import('./commands/usage.js') },
      { name: 'gc', summary: 'free what nothing needs any more', load: () => import('./commands/gc.js') },
      { name: 'optimize', summary: 'bring small packs together, in reading order', load: () => import('./commands/optimize.js') },
      { name: 'verify', summary: 'check that everything stored is whole', load: () => import('./commands/verify.js') },
      {
        name: 'repair',
        summary: 'make the index anew, set damage aside, bring back what there are copies of',
        load: () => import('./commands/repair.js'),
      },
    ],
  ],
  ['Shell:', [{ name: 'completion', summary: 'print a script for tab completion', load: () => import('./commands/completion.js') }]],
];

/** How the commands that are known by name only come to their arguments and options. */
const DEFINITIONS = new WeakMap<Command, () => Promise<void>>();

/** Loads what a command takes, unless that is done. */
export async function openDefinition(command: Command): Promise<void> {
  const open = DEFINITIONS.get(command);
  DEFINITIONS.delete(command);
  await open?.();
}

/** The whole command line. `onCommand` hears the words of each command as it is reached, for hints in errors. */
export function buildProgram(act: Act, onCommand: (words: string) => void): Command {
  const program = new commander.Command('cairn')
    .description('Volumes of model weights with history: every repeated byte stored once, every version reachable.')
    .usage('[options] COMMAND …')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help, also of a command')
    .helpCommand(false)
    .exitOverride()
    // Errors are thrown, and printed in one place (main.ts).
    .configureOutput({ outputError: () => {} })
    .configureHelp({ showGlobalOptions: true, subcommandTerm: (command) => command.name() })
    .addHelpText('after', `\nPlaces are written VOL[@REF][:/PATH].\n\n${START}`);
  addGlobalOptions(program, false);
  for (const [group, entries] of GROUPS) addCommands(program, entries, act, onCommand, group);
  return program;
}

/** The file commands again, under the names that `modal volume` has for them. */
export function addFileCommands(volume: Command, act: Act): void {
  addCommands(volume, FILES, act, () => {}, 'Files, the same as the commands of the top level:');
}

/** Accepted before and after the name of a command, but listed once. */
export function addGlobalOptions(command: Command, hidden: boolean): void {
  // Options of a parent are then only looked for before its subcommand, so that they never take the value of another option.
  command.enablePositionalOptions();
  const options = [
    new commander.Option('--store <dir>', 'the store (default: CAIRN_STORE, else the nearest .cairn upward)'),
    new commander.Option('--json', 'print JSON: one document, or one a line for lists; errors as JSON on stderr'),
    new commander.Option('-q, --quiet', 'no progress and no summaries'),
    new commander.Option('-v, --verbose', 'diagnostics and stack traces on stderr'),
  ];
  for (const option of options) command.addOption(hidden ? option.hideHelp() : option);
}

/** The text below a command's help: one line of what to type, and anything that the options do not say. */
export function example(line: string, more = ''): string {
  return `\nExample:\n  ${line}${more === '' ? '' : `\n\n${more}`}`;
}

function addCommands(parent: Command, entries: Entry[], act: Act, onCommand: (words: string) => void, group: string): void {
  for (const { name, summary, load } of entries) {
    const command = parent.command(name).description(summary).helpGroup(group);
    addGlobalOptions(command, true);
    DEFINITIONS.set(command, async () => (await load()).define(command, act));
  }
  parent.hook('preSubcommand', async (_parent, command) => {
    if (!entries.some(({ name }) => name === command.name())) return;
    onCommand(command.name());
    await openDefinition(command);
  });
}

const START = `Start:
  cairn volume create models
  cairn put models ./llama-3 /
  cairn ls models
  cairn get models@HEAD~1 /llama-3 ./before`;
