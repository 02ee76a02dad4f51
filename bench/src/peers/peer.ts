import type { Command } from './run-command.js';

/** A tool that stores folders, as the rows drive it. Every command leaves its data durable, by itself or by a `sync` that is part of it. */
export interface Peer {
  readonly name: string;
  /** What is switched on or off, and why it is the fair choice. */
  readonly settings: string;
  /** Makes an empty repository, untimed. Undefined: the first store makes it. */
  init?(repo: string): Command;
  store(source: string, repo: string, label: string): Command;
  /** Stores a source that the repository holds already, reading all of it again: no cache of file names and times decides. Absent: the tool cannot. */
  storeAgain?(source: string, repo: string, label: string): Command;
  /** Writes a stored folder into an existing empty one. */
  restore(repo: string, label: string, target: string): Command;
  /** Reads all that is stored again and proves it. Absent: the tool cannot. */
  check?(repo: string): Command;
}
