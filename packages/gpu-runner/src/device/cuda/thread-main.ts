import { parentPort, workerData } from 'node:worker_threads';
import { DeviceThread } from './device-thread.js';
import { Driver } from './driver.js';
import { DriverFailure, DriverMissing, ReadBackDiffers } from './failures.js';
import type { ReplyMessage, RequestMessage, ThreadError, ThreadOptions } from './messages.js';
import { openSession } from './session.js';

/*
 * The one thread that speaks to the driver for a device. A context is current per thread, and calls are short: they are made here,
 * synchronously, and nothing else waits for them.
 */

const port = parentPort!;
const options = workerData as ThreadOptions;
const reply = (message: ReplyMessage): void => port.postMessage(message);

function asMessage(error: unknown): ThreadError {
  if (error instanceof DriverFailure) return { kind: 'cuda', call: error.call, result: error.result, resultName: error.resultName };
  if (error instanceof DriverMissing) return { kind: 'noDriver', lookedFor: error.lookedFor };
  if (error instanceof ReadBackDiffers) return { kind: 'readBack', offset: error.offset, bytes: error.bytes };
  return { kind: 'other', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

async function answer(thread: DeviceThread, request: RequestMessage): Promise<void> {
  const { id } = request;
  try {
    const result = await thread.perform(request);
    reply({ id, result, unreleasedBytes: thread.unreleasedBytes });
  } catch (error) {
    reply({ id, error: asMessage(error), unreleasedBytes: thread.unreleasedBytes });
  }
  if (request.name === 'close') port.close();
}

try {
  const driver = new Driver(options.driverPath);
  const session = openSession(driver, options);
  const thread = new DeviceThread(driver, session, options);
  port.on('message', (request: RequestMessage) => void answer(thread, request));
  reply({ opened: session.found });
} catch (error) {
  reply({ openError: asMessage(error) });
  port.close();
}
