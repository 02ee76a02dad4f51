import type { Device } from '../device/device.js';
import type { Registry } from '../registry/registry.js';

/** One metric of the text format of Prometheus (version 0.0.4). */
export interface Metric {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  samples: { labels?: Record<string, string>; value: number }[];
}

/** What a registry and its device have to tell. */
export function registryMetrics(registry: Registry, device: Device): Metric[] {
  const { loads, updates, hits, evictions, failures, fills, stageMs, stalls, readBytes, reusedBytes, copiedBytes } = registry.counters;
  const { id, backing, allocatedBytes, reusableBytes, lingeringBytes, capacityBytes, cuda } = device.info();
  const models = registry.list();
  const state = (name: string, value: number): Metric['samples'][number] => ({ labels: { state: name }, value });
  return [
    counter('loads_total', 'Loads of a model into device memory.', loads),
    counter('updates_total', 'Models changed in place into a newer version.', updates),
    counter('hits_total', 'Requests that found their model loaded, or on its way.', hits),
    counter('evictions_total', 'Models that gave way to others.', evictions),
    counter('load_failures_total', 'Loads that failed or were given up.', failures),
    counter('fills_total', 'Times that memory of a consumer was filled.', fills),
    counter('read_bytes_total', 'Bytes read from the store, decoded and verified.', readBytes),
    {
      name: 'cairn_gpu_load_stage_seconds_total',
      help: 'Time of loads by stage, summed over what ran side by side; bytes by seconds is the rate of a stage.',
      type: 'counter',
      samples: Object.entries(stageMs).map(([stage, ms]) => ({ labels: { stage }, value: ms / 1000 })),
    },
    counter('stalls_total', 'How often reading had to wait for a free slot.', stalls),
    counter('reused_bytes_total', 'Bytes taken over from older versions in memory.', reusedBytes),
    counter('copied_bytes_total', 'Bytes copied into device memory, from slots and from older versions.', copiedBytes),
    gauge('device_info', 'The device; always 1.', [
      { labels: { device: id, backing, ...(cuda === undefined ? {} : { name: cuda.name, uuid: cuda.uuid }) }, value: 1 },
    ]),
    gauge('device_capacity_bytes', 'The most memory that the device gives.', [{ value: capacityBytes }]),
    gauge('models', 'Models in memory.', [{ value: models.length }]),
    gauge('users', 'Leases on models.', [{ value: models.reduce((sum, { users }) => sum + users, 0) }]),
    gauge('budget_bytes', 'The most memory that models may take together.', [{ value: registry.budgetBytes }]),
    gauge('memory_bytes', 'Device memory: of models, kept for reuse, and freed but still open in some process.', [
      state('allocated', allocatedBytes),
      state('reusable', reusableBytes),
      state('lingering', lingeringBytes),
    ]),
  ];
}

export function counter(name: string, help: string, value: number): Metric {
  return { name: `cairn_gpu_${name}`, help, type: 'counter', samples: [{ value }] };
}

export function gauge(name: string, help: string, samples: Metric['samples']): Metric {
  return { name: `cairn_gpu_${name}`, help, type: 'gauge', samples };
}

export function metricsText(metrics: readonly Metric[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of metrics) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const { labels = {}, value } of samples) {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}=${JSON.stringify(text)}`);
      lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}`);
    }
  }
  return lines.join('\n') + '\n';
}
