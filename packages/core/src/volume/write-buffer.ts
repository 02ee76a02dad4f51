/** One run of written bytes; `bytes` may have room behind the first `length`, so that appends do not copy. */
interface Extent {
  start: number;
  bytes: Uint8Array;
  length: number;
}

/** Bytes written at positions of a file: disjoint extents in ascending order, the later write on top. */
export class WriteBuffer {
  private extents: Extent[] = [];
  private total = 0;

  /** Bytes held. */
  get size(): number {
    return this.total;
  }

  write(position: number, data: Uint8Array): void {
    const end = position + data.byteLength;
    const last = this.extents.at(-1);
    if (last !== undefined && position === last.start + last.length) return this.append(last, data);
    this.cut(position, end);
    const at = this.extents.findIndex((extent) => extent.start >= end);
    // A copy, also of a Buffer, whose slice() is none: the caller may use its memory again.
    this.extents.splice(at < 0 ? this.extents.length : at, 0, { start: position, bytes: new Uint8Array(data), length: data.byteLength });
    this.total += data.byteLength;
  }

  /** Drops what lies at or behind `size`. */
  truncate(size: number): void {
    this.cut(size, Infinity);
  }

  /** Copies what was written over `target`, which stands for the file from `position` on. */
  copyInto(position: number, target: Uint8Array): void {
    const end = position + target.byteLength;
    for (const { start, bytes, length } of this.extents) {
      const from = Math.max(start, position);
      const to = Math.min(start + length, end);
      if (from < to) target.set(bytes.subarray(from - start, to - start), from - position);
    }
  }

  /** Whether every byte of a range was written. */
  covers(from: number, to: number): boolean {
    for (const { start, length } of this.extents) {
      if (start > from) return false;
      if (from < start + length) from = start + length;
      if (from >= to) return true;
    }
    return from >= to;
  }

  ranges(): { start: number; end: number }[] {
    return this.extents.map(({ start, length }) => ({ start, end: start + length }));
  }

  private append(extent: Extent, data: Uint8Array): void {
    if (extent.length + data.byteLength > extent.bytes.byteLength) {
      const grown = new Uint8Array(Math.max(extent.bytes.byteLength * 2, extent.length + data.byteLength));
      grown.set(extent.bytes.subarray(0, extent.length));
      extent.bytes = grown;
    }
    extent.bytes.set(data, extent.length);
    extent.length += data.byteLength;
    this.total += data.byteLength;
  }

  /** Removes a range from all extents, splitting the one around it. */
  private cut(from: number, to: number): void {
    const kept: Extent[] = [];
    for (const extent of this.extents) {
      const end = extent.start + extent.length;
      if (end <= from || extent.start >= to) {
        kept.push(extent);
        continue;
      }
      if (extent.start < from)
        kept.push({ start: extent.start, bytes: extent.bytes.subarray(0, from - extent.start), length: from - extent.start });
      if (end > to) kept.push({ start: to, bytes: extent.bytes.subarray(to - extent.start, extent.length), length: end - to });
    }
    this.extents = kept;
    this.total = kept.reduce((sum, extent) => sum + extent.length, 0);
  }
}
