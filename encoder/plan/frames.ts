// Records of frames, packed: an hour is 86,400 of them, and as objects they would take two kilobytes each. Pure.

/** Records by frame. An array is one, as long as nobody asks below 0: see frameAt. */
export type Frames<Frame> = { readonly length: number; readonly at: (index: number) => Frame | undefined };

/** The record of a frame; undefined before the first and after the last. */
export function frameAt<Frame>(frames: Frames<Frame>, index: number): Frame | undefined {
  return index < 0 ? undefined : frames.at(index);
}

/** Frames whose records are in one piece of memory. */
const SLAB = 4096;

type Fields = Readonly<Record<string, number | Uint8Array>>;
type Slab = { readonly numbers: Float32Array; readonly bytes: Uint8Array };

/** Records to which one can be added: numbers (kept in 32 bits) and byte arrays, of which all records have the same. */
export type PackedFrames<Frame> = Frames<Frame> & { readonly push: (frame: Frame) => void };

/** Opens an empty list of records. */
export function packFrames<Frame extends Fields>(): PackedFrames<Frame> {
  const slabs: Slab[] = [];
  const names: string[] = [];
  const byteNames: { readonly name: string; readonly from: number; readonly to: number }[] = [];
  let [length, width] = [0, 0];
  const describe = (frame: Frame): void => {
    for (const [name, value] of Object.entries(frame)) {
      if (typeof value === 'number') names.push(name);
      else {
        byteNames.push({ name, from: width, to: width + value.length });
        width += value.length;
      }
    }
  };
  const push = (frame: Frame): void => {
    if (length === 0) describe(frame);
    const [slab, place] = [Math.floor(length / SLAB), length % SLAB];
    slabs[slab] ??= { numbers: new Float32Array(SLAB * names.length), bytes: new Uint8Array(SLAB * width) };
    const { numbers, bytes } = slabs[slab];
    for (const [at, name] of names.entries()) numbers[place * names.length + at] = Number(frame[name]);
    for (const { name, from } of byteNames) {
      const value = frame[name];
      if (value instanceof Uint8Array) bytes.set(value, place * width + from);
    }
    length += 1;
  };
  const at = (index: number): Frame | undefined => {
    const slab = slabs[Math.floor(index / SLAB)];
    if (slab === undefined || index >= length) return undefined;
    const place = index % SLAB;
    const frame: Record<string, number | Uint8Array> = {};
    for (const [field, name] of names.entries()) frame[name] = slab.numbers[place * names.length + field] ?? 0;
    for (const { name, from, to } of byteNames) {
      frame[name] = slab.bytes.subarray(place * width + from, place * width + to);
    }
    // Every field that the first record had is there, of its type.
    return frame as Frame;
  };
  return {
    get length() {
      return length;
    },
    at,
    push,
  };
}
