import type { Driver } from './driver.js';
import { DriverFailure, ReadBackDiffers } from './failures.js';
import { MemorySource, type Memory } from './memory.js';
import type { Operations, RequestMessage, ThreadOptions } from './messages.js';
import { freeMemory, type Session } from './session.js';

/** What a device's thread does on request. */
export class DeviceThread {
  private readonly driver: Driver;
  private readonly session: Session;
  private readonly options: ThreadOptions;
  private readonly source: MemorySource;
  private readonly memories = new Map<number, Memory>();
  private nextMemory = 1;

  constructor(driver: Driver, session: Session, options: ThreadOptions) {
    this.driver = driver;
    this.session = session;
    this.options = options;
    this.source = new MemorySource(driver, options.ordinal, session.found.granularityBytes);
  }

  get unreleasedBytes(): number {
    return this.source.unreleasedBytes;
  }

  /** @throws DriverFailure, ReadBackDiffers */
  perform(request: RequestMessage): unknown {
    switch (request.name) {
      case 'allocate':
        return this.register(
          this.session.found.sharing === 'vmm' ? this.source.create(request.sizeBytes) : this.source.allocate(request.sizeBytes),
        );
      case 'adopt':
        return this.register(this.source.adopt(request.descriptor, request.sizeBytes));
      case 'export': {
        const { handle, address } = this.memory(request.memory);
        return handle === undefined
          ? { handle: this.source.exportIpc(address).toString('hex') }
          : { descriptor: this.source.exportDescriptor(handle) };
      }
      case 'copyIn':
        return this.copyIn(request);
      case 'copyFrom': {
        const [target, source] = [this.place(request), this.place({ memory: request.source, offset: request.sourceOffset })];
        return this.onStream(request.memory, (stream) => this.driver.call('cuMemcpyDtoDAsync_v2', target, source, request.bytes, stream));
      }
      case 'clear':
        return this.onStream(request.memory, (stream) =>
          this.driver.call('cuMemsetD8Async', this.place(request), 0, request.bytes, stream),
        );
      case 'read':
        return this.read(this.place(request), request.bytes);
      case 'free': {
        const memory = this.memory(request.memory);
        this.memories.delete(request.memory);
        return this.source.free(memory);
      }
      case 'memory':
        return freeMemory(this.driver);
      case 'close':
        return this.close();
    }
  }

  private async copyIn({ memory, offset, bytes, ringOffset, data }: Operations['copyIn']['parameters']): Promise<void> {
    const target = this.place({ memory, offset });
    const source = data ?? this.session.ringAddress + BigInt(ringOffset!);
    await this.onStream(memory, (stream) => this.driver.call('cuMemcpyHtoDAsync_v2', target, source, bytes, stream));
    if (!this.options.readBack) return;
    const sent = data ?? new Uint8Array(this.options.ring, this.session.found.ringOffset + ringOffset!, bytes);
    if (Buffer.compare(this.read(target, bytes), sent) !== 0) throw new ReadBackDiffers(offset, bytes);
  }

  private read(source: bigint, bytes: number): Uint8Array {
    const target = new Uint8Array(bytes);
    if (bytes > 0) this.driver.call('cuMemcpyDtoH_v2', target, source, bytes);
    return target;
  }

  private onStream(memory: number, enqueue: (stream: bigint) => void): Promise<void> {
    const { streams, copies } = this.session;
    const stream = streams[memory % streams.length]!;
    return copies.run(stream, () => enqueue(stream));
  }

  /** Tries twice where a call fails: at the end nobody else will. @throws DriverFailure for what cannot be given back */
  private close(): void {
    for (const stream of this.session.streams) this.session.copies.settle(stream);
    for (const memory of this.memories.values()) this.source.free(memory);
    this.memories.clear();
    const steps = [() => this.source.releaseAll(), () => this.session.close()];
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        if (!(error instanceof DriverFailure)) throw error;
        step();
      }
    }
  }

  private register(memory: Memory): Operations['allocate']['result'] {
    const number = this.nextMemory++;
    this.memories.set(number, memory);
    return { memory: number, mappedBytes: memory.mappedBytes };
  }

  private memory(number: number): Memory {
    const memory = this.memories.get(number);
    if (memory === undefined) throw new Error(`memory ${number} was freed`);
    return memory;
  }

  private place({ memory, offset }: { memory: number; offset: number }): bigint {
    return this.memory(memory).address + BigInt(offset);
  }
}
