import type { Socket } from 'node:net';
import { deviceError } from '../errors.js';
import { libc } from '../device/libc.js';

/*
 * What node:net cannot do with a Unix socket: tell who is at the other end, and send descriptors (SCM_RIGHTS). Both need the
 * descriptor of the socket, which Node keeps in the undocumented `_handle.fd`; this file is the only place that knows.
 */

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EAGAIN = 11;
/** Of cmsghdr on 64-bit machines: length, level, type. */
const CONTROL_HEADER_BYTES = 16;
/** While the other end has no room. */
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

function controlMessage(descriptors: readonly number[]): Buffer {
  const length = CONTROL_HEADER_BYTES + 4 * descriptors.length;
  const control = Buffer.alloc(Math.ceil(length / 8) * 8);
  control.writeBigUInt64LE(BigInt(length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, descriptor] of descriptors.entries()) control.writeInt32LE(descriptor, CONTROL_HEADER_BYTES + 4 * i);
  return control;
}

function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd: number } | null };
  if (handle === null || handle === undefined || handle.fd < 0) throw deviceError('using a socket that is closed', 'EBADF');
  return handle.fd;
}
