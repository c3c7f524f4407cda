// The files of a trained ranker, written and read: titles and settings as JSON, neighbours and embeddings as plain
// little-endian numbers. What cannot be read whole is refused, never read in part.
import { addWeighted, standardised } from './blend.ts';
import { scoreEase } from './ease.ts';
import type { TitleEmbeddings, TitleNeighbours } from './tables.ts';

/** Names of the files. */
export const RANKER_FILES = {
  titles: 'titles.json',
  sequence: 'sequence.onnx',
  sequenceInt8: 'sequence-int8.onnx',
  ease: 'ease.bin',
  embeddings: 'embeddings.bin',
} as const;

/** How the two models are mixed. */
export type RankerBlend = {
  /** Weight of EASE's standardised scores beside the sequence model's. */
  readonly easeWeight: number;
  /** A title's worth to EASE decays by this factor with each place back in a history. */
  readonly historyDecay: number;
  /** Weight of live popularity before the first title, and its decay with each title of the history. */
  readonly startWeight: number;
  readonly startDecay: number;
};

/** titles.json. Title number = place + 1; 0 stands for nothing. Readers refuse other versions. */
export type RankerTitles = {
  readonly version: 1;
  readonly titles: readonly string[];
  /** Places of a history that the sequence model reads. */
  readonly length: number;
  /** Size of its embeddings, and the rank of an adapter. */
  readonly width: number;
  readonly rank: number;
  readonly blend: RankerBlend;
};

/** First bytes of the tables: name and version. */
const MAGIC = { ease: 0x4e434531, embeddings: 0x4e434d31 } as const;
const HEADER_BYTES = 16;

function header(magic: number, rows: number, width: number, bodyBytes: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(HEADER_BYTES + bodyBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, rows, true);
  view.setUint32(8, width, true);
  return { bytes, view };
}

/** Rows and width of a table's bytes; throws RangeError when they are not those of such a table, cut short, or damaged. */
function readHeader(bytes: Uint8Array, magic: number, each: number): { view: DataView; rows: number; width: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== magic)
    throw new RangeError('Not a table of this kind');
  const rows = view.getUint32(4, true);
  const width = view.getUint32(8, true);
  if (bytes.length !== HEADER_BYTES + rows * width * each) throw new RangeError('The table is cut short');
  return { view, rows, width };
}

/** Neighbours as bytes: header, places [rows, width] int32, weights [rows, width] float32. */
export function writeNeighbours({ titleIds, width, ids, weights }: TitleNeighbours): Uint8Array {
  const { bytes, view } = header(MAGIC.ease, titleIds.length, width, ids.length * 8);
  ids.forEach((id, at) => {
    view.setInt32(HEADER_BYTES + at * 4, id, true);
  });
  weights.forEach((weight, at) => {
    view.setFloat32(HEADER_BYTES + (ids.length + at) * 4, weight, true);
  });
  return bytes;
}

/** Reads what writeNeighbours() wrote; throws RangeError when it is not that of `titleIds`, or has no sense in it. */
export function readNeighbours(bytes: Uint8Array, titleIds: readonly string[]): TitleNeighbours {
  const { view, rows, width } = readHeader(bytes, MAGIC.ease, 8);
  if (rows !== titleIds.length) throw new RangeError(`${rows} rows for ${titleIds.length} titles`);
  const count = rows * width;
  const ids = Int32Array.from({ length: count }, (_, at) => view.getInt32(HEADER_BYTES + at * 4, true));
  const weights = Float32Array.from({ length: count }, (_, at) =>
    view.getFloat32(HEADER_BYTES + (count + at) * 4, true),
  );
  if (!ids.every((id) => id >= -1 && id < rows)) throw new RangeError('A neighbour is no title');
  if (!weights.every(Number.isFinite)) throw new RangeError('A weight is no number');
  return { titleIds, width, ids, weights };
}

const utf8 = { to: new TextEncoder(), from: new TextDecoder('utf-8', { fatal: true }) };

/** Embeddings as bytes: header, values [rows, width] float32, then the titles as JSON, whose size is in the header. */
export function writeEmbeddings({ titleIds, width, values }: TitleEmbeddings): Uint8Array {
  const names = utf8.to.encode(JSON.stringify(titleIds));
  const { bytes, view } = header(MAGIC.embeddings, titleIds.length, width, values.length * 4 + names.length);
  view.setUint32(12, names.length, true);
  values.forEach((value, at) => {
    view.setFloat32(HEADER_BYTES + at * 4, value, true);
  });
  bytes.set(names, HEADER_BYTES + values.length * 4);
  return bytes;
}

/** Reads what writeEmbeddings() wrote; throws RangeError when it is anything else. */
export function readEmbeddings(bytes: Uint8Array): TitleEmbeddings {
  const nameBytes = bytes.length < HEADER_BYTES ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(12, true);
  const table = bytes.subarray(0, Math.max(0, bytes.length - nameBytes));
  const { view, rows, width } = readHeader(table, MAGIC.embeddings, 4);
  const titleIds = stringsOf(bytes.subarray(bytes.length - nameBytes));
  if (titleIds?.length !== rows) throw new RangeError('Another number of titles than rows');
  const values = Float32Array.from({ length: rows * width }, (_, at) => view.getFloat32(HEADER_BYTES + at * 4, true));
  if (!values.every(Number.isFinite)) throw new RangeError('A value is no number');
  return { titleIds, width, values };
}

function stringsOf(bytes: Uint8Array): readonly string[] | undefined {
  try {
    const read: unknown = JSON.parse(utf8.from.decode(bytes));
    return Array.isArray(read) && read.every((id) => typeof id === 'string') ? read : undefined;
  } catch {
    // Not UTF-8 or not JSON: then there are no strings, and the caller refuses the file.
    return undefined;
  }
}

/** The bytes of titles.json. */
export const writeTitles = (titles: RankerTitles): Uint8Array => utf8.to.encode(JSON.stringify(titles));

const isShare = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 1;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0;

/** Reads titles.json; throws RangeError when it is not one of version 1 with all its fields. */
export function readTitles(bytes: Uint8Array): RankerTitles {
  let read: unknown;
  try {
    read = JSON.parse(utf8.from.decode(bytes));
  } catch (cause) {
    throw new RangeError('titles.json is not JSON', { cause });
  }
  // Sound: an object's fields are looked at one by one before any is believed.
  const found = (typeof read === 'object' && read !== null ? read : {}) as Partial<RankerTitles>;
  const { version, titles, length, width, rank, blend } = found;
  const isSound =
    version === 1 &&
    Array.isArray(titles) &&
    titles.every((id) => typeof id === 'string') &&
    [length, width, rank].every(isCount) &&
    isShare(blend?.historyDecay) &&
    isShare(blend.startDecay) &&
    [blend.easeWeight, blend.startWeight].every(Number.isFinite);
  if (!isSound) throw new RangeError('titles.json is of another version or lacks a field');
  // Sound: checked above.
  return found as RankerTitles;
}

/**
 * What is added to the sequence model for a history of places in titles.json (from 0, oldest first): EASE's standardised
 * scores times their weight, and those of live `popularity` (any measure, [titles]), which matters at a session's start
 * and fades with each title of the history. [titles]; zeros for an empty history without popularity.
 */
export function besideScores(
  neighbours: TitleNeighbours,
  history: ArrayLike<number>,
  blend: RankerBlend,
  popularity?: Float32Array,
): Float32Array {
  const scores = standardised(scoreEase(neighbours, history, blend.historyDecay));
  const beside = addWeighted(new Float32Array(scores.length), scores, blend.easeWeight);
  if (popularity === undefined) return beside;
  return addWeighted(beside, standardised(popularity), blend.startWeight * blend.startDecay ** history.length);
}

/** The sequence model's `history` input for one history of places (from 0, oldest first): [length], right-aligned. */
export function historyInput(history: ArrayLike<number>, length: number): BigInt64Array {
  const values = new BigInt64Array(length);
  const start = Math.max(0, history.length - length);
  for (let at = start; at < history.length; at += 1) {
    values[length - history.length + at] = BigInt((history[at] ?? -1) + 1);
  }
  return values;
}
