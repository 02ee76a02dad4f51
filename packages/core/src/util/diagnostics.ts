import { channel } from 'node:diagnostics_channel';

/** Messages that a logger gets too: `{ level, message, store }`. */
const logChannel = channel('cairn:log');
/** Every commit of this process that made a snapshot: `{ store, volume, snapshot, bytes }`. */
const commitChannel = channel('cairn:commit');

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where an engine tells what its callers did not ask for: to a logger where one was given, and to `node:diagnostics_channel`; never to the console. */
export class Diagnostics {
  private readonly store: string;
  private readonly logger: Partial<Record<LogLevel, (message: string) => void>> | undefined;

  constructor(store: string, logger: Partial<Record<LogLevel, (message: string) => void>> | undefined) {
    this.store = store;
    this.logger = logger;
  }

  log(level: LogLevel, message: string): void {
    this.logger?.[level]?.(message);
    if (logChannel.hasSubscribers) logChannel.publish({ level, message, store: this.store });
  }

  committed(commit: { volume: string; snapshot: string; bytes: { logical: number; new: number; stored: number } }): void {
    this.log('debug', `committed ${commit.volume}@${commit.snapshot.slice(0, 12)}: ${commit.bytes.new} new bytes`);
    if (commitChannel.hasSubscribers) commitChannel.publish({ store: this.store, ...commit });
  }
}
