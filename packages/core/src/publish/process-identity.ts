import fs from 'node:fs';

/** Tells a process from every other one, also from a later one with the same pid. */
export interface ProcessIdentity {
  pid: number;
  /** In clock ticks since boot; 0 where the system does not tell. */
  startTime: number;
  /** Empty where the system does not tell. */
  bootId: string;
  /** Inode of the pid namespace; 0 where there is none. */
  pidNamespace: number;
}

export function thisProcess(): ProcessIdentity {
  return {
    pid: process.pid,
    startTime: startTimeOf(process.pid) ?? 0,
    bootId: attempt(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()) ?? '',
    pidNamespace: attempt(() => fs.statSync('/proc/self/ns/pid').ino) ?? 0,
  };
}

/** Whether this is what some process has written of itself. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startTime, bootId, pidNamespace } = value as Record<string, unknown>;
  return [pid, startTime, pidNamespace].every(Number.isSafeInteger) && typeof bootId === 'string';
}

/**
 * Whether a process is certainly gone. One of another pid namespace on this boot cannot be looked at, so it counts as alive.
 */
export function isDead(other: ProcessIdentity, self: ProcessIdentity): boolean {
  if (other.bootId !== self.bootId) return other.bootId !== '' && self.bootId !== '';
  if (other.pidNamespace !== self.pidNamespace) return false;
  return startTimeOf(other.pid) !== other.startTime;
}

/** Undefined: no such process. */
function startTimeOf(pid: number): number | undefined {
  if (process.platform === 'linux') {
    const stat = attempt(() => fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
    // The command's name, in parentheses, may hold anything; starttime is the 22nd field, the 20th after it.
    return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  }
  try {
    process.kill(pid, 0);
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? undefined : 0;
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
