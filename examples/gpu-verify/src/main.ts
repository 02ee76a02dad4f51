import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { CudaDevice, GpuError } from '@cairn/gpu-runner';
import { checkDevice } from './in-process.js';
import { makeModel } from './model.js';
import { checkProcesses } from './processes.js';
import { VerificationRecord } from './record.js';

/*
 * Checks on a real GPU what tests see on an emulated driver, and prints a record for docs/gpu-verification.md. Ends with 0 only when
 * all of it was seen, on hardware.
 *
 *     npm run gpu:verify -- [--device cuda:0] [--size-mib 1024]
 */

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    'size-mib': { type: 'string', default: '1024' },
    // To try this program itself. Nothing is measured then, and it does not call anything verified.
    emulated: { type: 'boolean', default: false },
  },
});

function stop(why: string): never {
  process.stderr.write(`Nothing was verified: ${why}\n`);
  process.exit(1);
}

async function open(): Promise<CudaDevice> {
  const ordinal = /^cuda:(\d+)$/.exec(values.device)?.[1];
  if (ordinal === undefined) stop(`'${values.device}' is no device such as cuda:0`);
  try {
    return await CudaDevice.open({ ordinal: Number(ordinal) });
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    stop(`${error.message}\n  hint: ${error.hint}`);
  }
}

const sizeMib = Number(values['size-mib']);
if (!Number.isSafeInteger(sizeMib) || sizeMib < 1) stop('--size-mib is a number of MiB');
const device = await open();
const { cuda, backing } = device.info();
const isHardware = !cuda!.name.startsWith('Emulated');
if (!isHardware && !values.emulated) stop('the driver is an emulated one');

const record = new VerificationRecord(isHardware);
const query = ['--query-gpu=driver_version,pcie.link.gen.current,pcie.link.width.current', '--format=csv,noheader', '-i', cuda!.uuid];
const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
const { freeBytes, totalBytes } = await device.memory();
record.say(`### ${cuda!.name}, ${new Date().toISOString().slice(0, 10)}\n`);
record.say(`- ${values.device}; the driver has CUDA ${cuda!.driverVersion / 1000}`);
if (status === 0) record.say(`- version of the driver, PCIe generation, PCIe width: ${stdout.trim()}`);
record.say(`- ${totalBytes} bytes of memory, ${freeBytes} free; shared as ${backing}, in granules of ${cuda!.granularityBytes}`);
record.say(`- Node ${process.version}, ${process.arch}, ${os.cpus().length} × ${os.cpus()[0]?.model ?? 'CPU'}`);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-gpu-verify-'));
process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.once(signal, () => process.exit(code)); // prettier-ignore

const model = await makeModel(path.join(folder, 'store'), sizeMib << 20);
await checkDevice(record, device, model);
await checkProcesses(record, values.device, model, folder);
await device.close();
await model.store.close();

record.say('');
if (record.failures > 0) record.say(`${record.failures} checks failed.`);
else record.say(isHardware ? 'All checks passed.' : 'All checks passed on an emulated driver: nothing is verified by that.');
process.exitCode = record.failures > 0 ? 1 : 0;
