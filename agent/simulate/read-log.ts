// Access logs as streams: gzip or plain, lines of any length cut, requests kept within bounds by sampling objects.
import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip } from 'node:zlib';
import { hashInto, type Requests, SAMPLE_MODULUS } from '../../cache/cache.ts';
import { AgentError } from '../errors.ts';
import { type LineReader, readerFor } from './log-line.ts';

/** What is kept at most: 24 bytes a request, and about 60 an object while the log is read. */
export type Bounds = { readonly requests: number; readonly objects: number };
/** 200 MB of requests and 120 MB of objects. */
const BOUNDS: Bounds = { requests: 8_000_000, objects: 2_000_000 };
/** A longer line is malformed; its rest is skipped, not kept. */
const MAX_LINE = 65_536;
/** Lines at the beginning of which one must be of a known format. */
const TRIED_LINES = 20;
/** Lines between two calls of `onProgress`. */
const PROGRESS_LINES = 500_000;

/** Lines by what they were. */
export type LineCounts = Record<'requests' | 'malformed' | 'method' | 'status' | 'empty' | 'comment', number>;

/** A log, or several of one format, in order of time. */
export type Log = {
  readonly format: string;
  readonly lines: LineCounts;
  /** Requests of the sampled objects: bytes as sent. */
  readonly requests: Requests & { readonly at: Float64Array };
  /** Bytes of each object: the most that was sent of it, since ranges and viewers who left say less. */
  readonly sizes: Float64Array;
  /** A trace says the size with each request, a log what was sent. */
  readonly isTrace: boolean;
  /** Share of the objects that is kept, above 0 and at most 1. */
  readonly sampleRatio: number;
};

/** What readLog() may be told. */
export type ReadOptions = {
  readonly bounds?: Bounds;
  readonly signal?: AbortSignal;
  readonly onProgress?: (lines: number) => void;
};

/** The chunks of a stream, the first of them of two bytes at least if there are so many. */
async function* chunksOf(raw: Readable): AsyncGenerator<Buffer> {
  let begin: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of raw) {
    const bytes = Buffer.from(chunk);
    if (begin === undefined) yield bytes;
    else begin = Buffer.concat([begin, bytes]);
    if (begin === undefined || begin.length < 2) continue;
    yield begin;
    begin = undefined;
  }
  if (begin !== undefined) yield begin;
}

/** Chunks of text, unpacked when the first two bytes are gzip's (RFC 1952, section 2.3.1). */
async function* textOf(raw: Readable, signal: AbortSignal | undefined): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  const chunks = chunksOf(raw);
  const begin = await chunks.next();
  if (begin.done === true) return;
  const whole = async function* (): AsyncGenerator<Buffer> {
    yield begin.value;
    yield* chunks;
  };
  const isPacked = begin.value[0] === 0x1f && begin.value[1] === 0x8b;
  // What fails on the way destroys the last stream with it, and is thrown where that is read.
  const source: AsyncIterable<Buffer> = isPacked ? pipeline(whole(), createGunzip(), () => undefined) : whole();
  for await (const chunk of source) {
    if (signal?.aborted === true) return;
    yield decoder.write(chunk);
  }
  yield decoder.end();
}

/** Lines without their ends; one that is too long comes as undefined. */
async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<readonly (string | undefined)[]> {
  let rest = '';
  let isCut = false;
  for await (const chunk of text) {
    const lines: (string | undefined)[] = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (isCut && lines.length > 0) {
      lines[0] = undefined;
      isCut = false;
    }
    if (rest.length > MAX_LINE) {
      isCut = true;
      rest = '';
    }
    if (lines.length > 0) yield lines;
  }
  if (isCut) yield [undefined];
  else if (rest !== '') yield [rest];
}

/** Requests while they are read: arrays that double, and a sample that halves when they would be too long. */
class Collected {
  readonly #bounds: Bounds;
  readonly #numbers = new Map<number, number>();
  readonly #key = { id: 0, position: 0 };
  #positions: number[] = [];
  sizes: number[] = [];
  objects = new Uint32Array(4096);
  bytes = new Float64Array(4096);
  at = new Float64Array(4096);
  count = 0;
  threshold = SAMPLE_MODULUS;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  add(at: number, id: string, bytes: number): void {
    hashInto(id, this.#key);
    const { position, id: number } = this.#key;
    if (position >= this.threshold) return;
    const name = number * SAMPLE_MODULUS + position;
    let object = this.#numbers.get(name);
    if (object === undefined) {
      object = this.sizes.length;
      this.#numbers.set(name, object);
      this.#positions.push(position);
      this.sizes.push(bytes);
    }
    if (bytes > (this.sizes[object] ?? 0)) this.sizes[object] = bytes;
    if (this.count === this.objects.length) this.#grow();
    this.objects[this.count] = object;
    this.bytes[this.count] = bytes;
    this.at[this.count] = at;
    this.count += 1;
    if (this.count >= this.#bounds.requests || this.sizes.length >= this.#bounds.objects) this.#halve();
  }

  #grow(): void {
    const length = this.objects.length * 2;
    const { objects, bytes, at } = this;
    this.objects = new Uint32Array(length);
    this.objects.set(objects);
    this.bytes = new Float64Array(length);
    this.bytes.set(bytes);
    this.at = new Float64Array(length);
    this.at.set(at);
  }

  /** Keeps the objects in the lower half of the positions, numbered anew, and their requests. */
  #halve(): void {
    this.threshold = Math.max(1, this.threshold >> 1);
    const renumbered = new Int32Array(this.sizes.length).fill(-1);
    const [sizes, positions]: [number[], number[]] = [[], []];
    for (const [name, object] of this.#numbers) {
      const position = this.#positions[object] ?? 0;
      if (position >= this.threshold) {
        this.#numbers.delete(name);
        continue;
      }
      renumbered[object] = sizes.length;
      this.#numbers.set(name, sizes.length);
      sizes.push(this.sizes[object] ?? 0);
      positions.push(position);
    }
    this.sizes = sizes;
    this.#positions = positions;
    let kept = 0;
    for (let index = 0; index < this.count; index += 1) {
      const object = renumbered[this.objects[index] ?? 0] ?? -1;
      if (object < 0) continue;
      this.objects[kept] = object;
      this.bytes[kept] = this.bytes[index] ?? 0;
      this.at[kept] = this.at[index] ?? 0;
      kept += 1;
    }
    this.count = kept;
  }
}

/** Requests in order of time; those of one moment stay as they came. Servers log requests when they end. */
function sorted({ objects, bytes, at, count, sizes }: Collected): Log['requests'] {
  const requests = { objects: objects.slice(0, count), bytes: bytes.slice(0, count), at: at.slice(0, count) };
  if (requests.at.every((time, index) => index === 0 || time >= (requests.at[index - 1] ?? 0))) {
    return { ...requests, count: sizes.length };
  }
  const order = Uint32Array.from({ length: count }, (_, index) => index).sort(
    (one, other) => (at[one] ?? 0) - (at[other] ?? 0) || one - other,
  );
  return {
    objects: Uint32Array.from(order, (index) => objects[index] ?? 0),
    bytes: Float64Array.from(order, (index) => bytes[index] ?? 0),
    at: Float64Array.from(order, (index) => at[index] ?? 0),
    count: sizes.length,
  };
}

const unreadable = (message: string, cause?: unknown): AgentError =>
  new AgentError('AGENT_LOG_UNREADABLE', message, { cause });

const KNOWN =
  'nginx combined, varnishncsa, squid (Traffic Server), W3C extended (IIS, CloudFront), JSON lines and CSV with a header ' +
  'that name time, url and bytes, ' +
  'and traces of "time id size", plain or gzip';

/** Tells the format of a log by its first lines. Throws when there is none among them. */
class Recogniser {
  readonly #name: string;
  #tried = 0;
  reader: LineReader | undefined;

  constructor(name: string, reader: LineReader | undefined) {
    this.#name = name;
    this.reader = reader;
  }

  /** Whether the line can be read now. */
  sees(line: string): boolean {
    this.reader ??= readerFor(line);
    if (this.reader !== undefined) return true;
    this.#tried += 1;
    if (this.#tried < TRIED_LINES) return false;
    throw this.failure(line);
  }

  failure(line: string): AgentError {
    const shown = line.length > 80 ? `${line.slice(0, 80)}...` : line;
    return unreadable(`${this.#name} is none of the known formats (${KNOWN}); a line of it: ${shown}`);
  }
}

/** Counts and keeps the lines of one file; the reader that fits it. */
async function readOne(
  name: string,
  raw: Readable,
  into: {
    readonly lines: LineCounts;
    readonly kept: Collected;
    readonly reader: LineReader | undefined;
    readonly options: ReadOptions;
  },
): Promise<LineReader | undefined> {
  const { lines, kept, options } = into;
  const recogniser = new Recogniser(name, into.reader);
  let last = '';
  let count = 0;
  for await (const batch of linesOf(textOf(raw, options.signal))) {
    for (const long of batch) {
      const line = long?.endsWith('\r') === true ? long.slice(0, -1) : long;
      if (line === '') continue;
      count += 1;
      if (count % PROGRESS_LINES === 0) options.onProgress?.(count);
      if (line === undefined || !recogniser.sees(line)) {
        lines.malformed += 1;
        last = line ?? last;
        continue;
      }
      const read = recogniser.reader?.read(line) ?? 'malformed';
      if (typeof read === 'string') lines[read] += 1;
      else {
        lines.requests += 1;
        kept.add(read.at, read.id, read.bytes);
      }
    }
  }
  if (recogniser.reader === undefined && count > 0) throw recogniser.failure(last);
  return recogniser.reader;
}

/**
 * Reads logs of one format, one after the other. Memory is bounded: beyond the bounds every second object is left out
 * with all its requests, and again, as SHARDS does. Rejects with AGENT_LOG_UNREADABLE when a file cannot be read, is of
 * no known format, or no request is in it, or when more than half of its lines are malformed.
 */
export async function readLog(
  files: readonly { readonly name: string; readonly open: () => Readable }[],
  options: ReadOptions = {},
): Promise<Log> {
  const kept = new Collected(options.bounds ?? BOUNDS);
  const lines: LineCounts = { requests: 0, malformed: 0, method: 0, status: 0, empty: 0, comment: 0 };
  let reader: LineReader | undefined;
  for (const { name, open } of files) {
    try {
      reader = (await readOne(name, open(), { lines, kept, reader, options })) ?? reader;
    } catch (cause) {
      if (cause instanceof AgentError) throw cause;
      throw unreadable(`${name} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`, cause);
    }
  }
  const names = files.map(({ name }) => name).join(', ');
  if (reader === undefined) throw unreadable(`${names} is empty`);
  const told = `${lines.malformed} lines are malformed, ${lines.method + lines.status + lines.empty} are of another method than GET, of another status than 200 and 206, or without a body`;
  if (lines.requests === 0) throw unreadable(`${names}, read as ${reader.name}, has no request for a cache: ${told}`);
  if (lines.malformed > lines.requests) {
    throw unreadable(`${names} is not ${reader.name}, as its beginning seems: ${told}`);
  }
  return {
    format: reader.name,
    lines,
    requests: sorted(kept),
    sizes: Float64Array.from(kept.sizes),
    isTrace: reader.name === 'trace',
    sampleRatio: kept.threshold / SAMPLE_MODULUS,
  };
}

/** A file by path. */
export const fileOf = (path: string): { readonly name: string; readonly open: () => Readable } => ({
  name: path,
  open: () => createReadStream(path, { highWaterMark: 1 << 20 }),
});
