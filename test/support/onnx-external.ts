/*
 * An ONNX model whose weights are in the file itself, made into one whose weights are in a file beside it ("external data"), as exporters
 * write it for models over 2 GiB. Only what that takes of Protocol Buffers, and of onnx.proto.
 */

/** Numbers of fields, from onnx.proto. */
const MODEL = { graph: 7 };
const GRAPH = { node: 1, initializer: 5 };
const NODE = { output: 2, operator: 4, attribute: 5 };
const ATTRIBUTE = { tensor: 5 };
const TENSOR = { dimensions: 1, dataType: 2, name: 8, rawData: 9, externalData: 13, dataLocation: 14 };
const ENTRY = { key: 1, value: 2 };
const EXTERNAL = 1;

/** Where mapped files like their tensors to begin. */
const ALIGNMENT_BYTES = 4096;
const LENGTH_DELIMITED = 2;

interface Field {
  number: number;
  /** Of a field that has a length; empty for numbers. */
  value: Uint8Array;
  /** All of it as it stands, tag included. */
  raw: Uint8Array;
}

/** Weights of at least `leastBytes` that are constants of the graph move to `data`, whose name `model` holds. */
export function withExternalData(original: Uint8Array, dataName: string, leastBytes = 256): { model: Uint8Array; data: Uint8Array } {
  const pieces: Uint8Array[] = [];
  let size = 0;
  const put = (bytes: Uint8Array): number => {
    const padding = -size & (ALIGNMENT_BYTES - 1);
    const offset = size + padding;
    pieces.push(new Uint8Array(padding), bytes);
    size = offset + bytes.length;
    return offset;
  };

  /** A constant becomes an initializer; other nodes stay. */
  const moved = (node: Field): Uint8Array => {
    const parts = fieldsOf(node.value);
    const tensor = textOf(parts, NODE.operator) === 'Constant' ? tensorOf(parts) : undefined;
    const bytes = tensor?.find(({ number }) => number === TENSOR.rawData)?.value;
    if (tensor === undefined || bytes === undefined || bytes.length < leastBytes) return node.raw;
    const entry = (key: string, value: string): Uint8Array =>
      field(TENSOR.externalData, join([field(ENTRY.key, Buffer.from(key)), field(ENTRY.value, Buffer.from(value))]));
    const external = [
      ...tensor.filter(({ number }) => number === TENSOR.dimensions || number === TENSOR.dataType).map(({ raw }) => raw),
      field(TENSOR.name, Buffer.from(textOf(parts, NODE.output))),
      entry('location', dataName),
      entry('offset', String(put(bytes))),
      entry('length', String(bytes.length)),
      join([varint(TENSOR.dataLocation << 3), varint(EXTERNAL)]),
    ];
    return field(GRAPH.initializer, join(external));
  };

  const model = fieldsOf(original).map((part) => {
    if (part.number !== MODEL.graph) return part.raw;
    return field(MODEL.graph, join(fieldsOf(part.value).map((one) => (one.number === GRAPH.node ? moved(one) : one.raw))));
  });
  return { model: join(model), data: join(pieces) };
}

function tensorOf(node: readonly Field[]): Field[] | undefined {
  const attribute = node.find(({ number }) => number === NODE.attribute);
  const tensor = attribute && fieldsOf(attribute.value).find(({ number }) => number === ATTRIBUTE.tensor);
  return tensor && fieldsOf(tensor.value);
}

function textOf(fields: readonly Field[], number: number): string {
  return Buffer.from(fields.find((one) => one.number === number)?.value ?? []).toString('utf8');
}

function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const number = (): number => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = number();
    const wire = tag & 7;
    let value = new Uint8Array(0);
    if (wire === 0) number();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else {
      const length = number();
      value = message.slice(at, at + length);
      at += length;
    }
    fields.push({ number: tag >>> 3, value, raw: message.slice(start, at) });
  }
  return fields;
}

function field(number: number, value: Uint8Array): Uint8Array {
  return join([varint((number << 3) | LENGTH_DELIMITED), varint(value.length), value]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Uint8Array.from([...bytes, value]);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
