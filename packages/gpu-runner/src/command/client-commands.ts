import { Client } from '../protocol/client.js';
import { parsePlace } from './place.js';
import { untilAsked } from './signals.js';

export interface ModelFlags {
  socket?: string;
  include?: string[];
  tensors?: boolean;
  hold?: boolean;
}

export async function loadModel(place: string, { socket, include, tensors, hold }: ModelFlags): Promise<void> {
  const request = parsePlace(place, requestFlags({ include, tensors }));
  using client = await Client.connect(socket);
  const model = await client.load(request);
  print({ shared: model.shared, manifest: model.manifest });
  if (hold === true) await untilAsked();
}

export async function listModels({ socket }: { socket?: string }): Promise<void> {
  using client = await Client.connect(socket);
  print(await client.list());
}

export async function printMetrics({ socket }: { socket?: string }): Promise<void> {
  using client = await Client.connect(socket);
  process.stdout.write(await client.metrics());
}

/** What of a load request the flags say. */
export function requestFlags({ include, tensors }: { include?: string[] | undefined; tensors?: boolean | undefined }): {
  include?: string[];
  layout?: 'tensors';
} {
  return { ...(include === undefined ? {} : { include }), ...(tensors === true ? { layout: 'tensors' as const } : {}) };
}

function print(value: unknown): void {
  process.stdout.write(JSON.stringify(value) + '\n');
}
