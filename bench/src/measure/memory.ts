import { readFile } from 'node:fs/promises';

const SAMPLE_INTERVAL_MS = 20;

/** Resident memory of one process, in bytes. */
export interface MemoryPeak {
  /** The kernel's own high-water mark: nothing is missed between samples. */
  readonly resident: number;
  /** Memory that the process allocated itself, at its largest sample; without mapped files such as the index. */
  readonly anonymous: number;
  /** Everything but memory that is shared with other processes by descriptor (memfd, tmpfs), at its largest sample. */
  readonly own: number;
}

/** Watches a process through /proc until `stop` is called, which has to happen before the process exits. */
export function watchMemory(pid: number): { stop(): Promise<MemoryPeak> } {
  let peak: MemoryPeak = { resident: 0, anonymous: 0, own: 0 };
  const sample = async (): Promise<void> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    peak = {
      resident: Math.max(peak.resident, field(status, 'VmHWM')),
      anonymous: Math.max(peak.anonymous, field(status, 'RssAnon') + field(status, 'RssShmem')),
      own: Math.max(peak.own, field(status, 'RssAnon') + field(status, 'RssFile')),
    };
  };
  let last = sample();
  const timer = setInterval(() => {
    last = sample();
  }, SAMPLE_INTERVAL_MS);
  return {
    async stop() {
      clearInterval(timer);
      await last;
      await sample();
      return peak;
    },
  };
}

function field(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status);
  return match === null ? 0 : Number(match[1]) * 1024;
}
