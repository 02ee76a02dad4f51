import fs from 'node:fs';
import type { Socket } from 'node:net';
import { deviceError } from '../errors.js';
import { libc } from '../device/libc.js';

/*
 * What node:net cannot do with a Unix socket: tell who is at the other end, and send and receive descriptors (SCM_RIGHTS). All of it
 * needs the descriptor of the socket, which Node keeps in the undocumented `_handle`; this file is the only place that knows.
 */

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EAGAIN = 11;
/** Of cmsghdr on 64-bit machines: length, level, type. */
const CONTROL_HEADER_BYTES = 16;
/** SCM_MAX_FD of the kernel: no message carries more. */
const MOST_DESCRIPTORS = 253;
/** While the other end has no room, or nothing to say. */
const RETRY_MS = 2;

export interface Peer {
  pid: number;
  uid: number;
  gid: number;
}

/** The process that made the connection, as the kernel knows it. */
export function peerOf(socket: Socket): Peer {
  const value = Buffer.alloc(12);
  const { getsockopt, koffi } = libc();
  if (getsockopt(descriptorOf(socket), SOL_SOCKET, SO_PEERCRED, value, [value.length]) !== 0)
    throw deviceError('SO_PEERCRED', koffi.errno());
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

/** Sends bytes of which the first one carries descriptors; the receiver gets copies of them. Nothing else may be written meanwhile. */
export async function sendWithDescriptors(socket: Socket, bytes: Buffer, descriptors: readonly number[]): Promise<void> {
  // What was written before has to be out: this goes past Node's queue.
  await written(socket, '');
  const sent = await sendFirst(socket, bytes, descriptors);
  if (sent < bytes.length) await written(socket, bytes.subarray(sent));
}

/** Resolves when the system has taken the data. */
export function written(socket: Socket, data: Buffer | string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

async function sendFirst(socket: Socket, bytes: Buffer, descriptors: readonly number[]): Promise<number> {
  const { sendmsg, koffi } = libc();
  const control = controlMessage(descriptors);
  const message = {
    name: null,
    nameLength: 0,
    iov: [{ base: bytes, length: bytes.length }],
    iovLength: 1,
    control,
    controlLength: control.length,
    flags: 0,
  };
  for (;;) {
    const sent = Number(sendmsg(descriptorOf(socket), message, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (sent >= 0) return sent;
    const errno = koffi.errno();
    if (errno !== EAGAIN) throw deviceError('sendmsg', errno);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** What arrived in one go. No bytes: the other end has hung up. The descriptors are the caller's to close. */
export interface Received {
  bytes: Buffer;
  descriptors: number[];
}

/** From here on Node reads nothing from a socket, and `receive` gets what comes, until `resumeReading`. */
export function stopReading(socket: Socket): void {
  handleOf(socket).readStop();
}

export function resumeReading(socket: Socket): void {
  if (!socket.destroyed) handleOf(socket).readStart();
}

/**
 * The next bytes of a socket that Node does not read, at most `most`, and the descriptors that came with them.
 * @throws the signal's reason; GpuError when the system fails, or did not take all descriptors
 */
export async function receive(socket: Socket, most: number, signal?: AbortSignal): Promise<Received> {
  const { recvmsg, koffi } = libc();
  const bytes = Buffer.alloc(most);
  const control = Buffer.alloc(CONTROL_HEADER_BYTES + 4 * MOST_DESCRIPTORS + 4);
  for (;;) {
    signal?.throwIfAborted();
    // Filled by the call, so an array of one: koffi writes back into it.
    const message = [{ name: null, nameLength: 0, iov: [{ base: bytes, length: most }], iovLength: 1, control, controlLength: control.length, flags: 0 }]; // prettier-ignore
    const got = Number(recvmsg(descriptorOf(socket), message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    if (got >= 0) {
      const { controlLength, flags } = message[0] as unknown as { controlLength: number | bigint; flags: number };
      const descriptors = descriptorsIn(control.subarray(0, Number(controlLength)));
      if ((flags & MSG_CTRUNC) === 0) return { bytes: bytes.subarray(0, got), descriptors };
      for (const descriptor of descriptors) fs.closeSync(descriptor);
      throw deviceError('receiving all descriptors', 'EMFILE');
    }
    const errno = koffi.errno();
    if (errno !== EAGAIN) throw deviceError('recvmsg', errno);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function descriptorsIn(control: Buffer): number[] {
  const descriptors: number[] = [];
  for (let at = 0; at + CONTROL_HEADER_BYTES <= control.length;) {
    const length = Number(control.readBigUInt64LE(at));
    if (length < CONTROL_HEADER_BYTES) break;
    if (control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS)
      for (let i = at + CONTROL_HEADER_BYTES; i + 4 <= at + length; i += 4) descriptors.push(control.readInt32LE(i));
    at += Math.ceil(length / 8) * 8;
  }
  return descriptors;
}

function controlMessage(descriptors: readonly number[]): Buffer {
  const length = CONTROL_HEADER_BYTES + 4 * descriptors.length;
  const control = Buffer.alloc(Math.ceil(length / 8) * 8);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, descriptor] of descriptors.entries()) control.writeInt32LE(descriptor, CONTROL_HEADER_BYTES + 4 * i);
  return control;
}

interface Handle {
  fd: number;
  readStart(): void;
  readStop(): void;
}

function handleOf(socket: Socket): Handle {
  const { _handle: handle } = socket as unknown as { _handle?: Handle | null };
  if (handle === null || handle === undefined || handle.fd < 0) throw deviceError('using a socket that is closed', 'EBADF');
  return handle;
}

function descriptorOf(socket: Socket): number {
  return handleOf(socket).fd;
}
