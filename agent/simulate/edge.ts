// A seeded region as an audience sees it: each episode or film a title, each device's rendition a track, each chunk an
// object; and a cache of it whose slots are dense, as a disk's are.
import { Slots, s3fifo, scored } from '../../cache/cache.ts';
import { type AudienceTitle, HEAD_SECONDS } from '../predict/audience.ts';
import type { Timeline } from '../prefetch/timeline.ts';
import { CHUNK_SECONDS, chunkBytes, type EdgeWorkload, type WorkloadTitle } from './workload.ts';

const DAY_MS = 86_400_000;

/** A film or an episode. */
export type EdgeTitle = AudienceTitle & {
  /** Of the workload. */
  readonly rank: number;
  readonly part: number;
  /** URLs are object numbers. */
  readonly timeline: Timeline;
};

/** Where an object is. */
export type EdgePlace = { readonly title: EdgeTitle; readonly track: number; readonly seconds: number };

/** A catalogue with places and sizes of all objects; a title's first chunk is two of them, its head and the rest. */
export type EdgeCatalogue = {
  readonly titles: readonly EdgeTitle[];
  readonly places: readonly EdgePlace[];
  readonly sizes: Float64Array;
  /** The head of each chunk that begins a title; -1 of others. */
  readonly headOf: Int32Array;
};

/** Lays out a workload's catalogue. */
export function edgeCatalogue(
  workload: EdgeWorkload,
  titles: readonly WorkloadTitle[],
  objects: number,
): EdgeCatalogue {
  const sizes: number[] = [];
  const places: EdgePlace[] = [];
  const headOf = new Int32Array(objects).fill(-1);
  const found: EdgeTitle[] = [];
  let heads = objects;
  for (const [rank, title] of titles.entries()) {
    for (const [part, chunks] of title.chunks.entries()) {
      const tracks: Timeline['tracks'][number][] = [];
      for (const { name, bitsPerSecond } of workload.devices) {
        const first = places.length + tracks.length * chunks;
        const parts = Array.from({ length: chunks }, (_, at) => ({ at, object: first + at })).flatMap(
          ({ at, object }) =>
            at === 0
              ? [
                  { url: String(heads), startSeconds: 0, durationSeconds: HEAD_SECONDS },
                  { url: String(object), startSeconds: HEAD_SECONDS, durationSeconds: CHUNK_SECONDS - HEAD_SECONDS },
                ]
              : [{ url: String(object), startSeconds: at * CHUNK_SECONDS, durationSeconds: CHUNK_SECONDS }],
        );
        headOf[first] = heads;
        heads += 1;
        tracks.push({ id: name, kind: 'video', bandwidthBps: bitsPerSecond * title.scale, parts });
      }
      const made = edgeTitle(title, { rank, part, tracks });
      found.push(made);
      for (const [track, device] of workload.devices.entries()) {
        const bytes = chunkBytes(title, device);
        for (let at = 0; at < chunks; at += 1) {
          places.push({ title: made, track, seconds: at * CHUNK_SECONDS });
          sizes.push(bytes);
        }
      }
    }
  }
  return withHeads({ titles: found, places, sizes: Float64Array.from(sizes), headOf });
}

function edgeTitle(
  title: WorkloadTitle,
  { rank, part, tracks }: { readonly rank: number; readonly part: number; readonly tracks: Timeline['tracks'] },
): EdgeTitle {
  const durationSeconds = (title.chunks[part] ?? 0) * CHUNK_SECONDS;
  const id = `${rank}.${part}`;
  return {
    ...{ id, rank, part, durationSeconds },
    tracks: tracks.map(({ kind, bandwidthBps }) => ({ kind, bitsPerSecond: bandwidthBps })),
    releaseAt: title.releaseDay === undefined ? undefined : title.releaseDay * DAY_MS,
    series: title.chunks.length > 1 ? String(rank) : undefined,
    previousId: part > 0 ? `${rank}.${part - 1}` : undefined,
    timeline: { titleId: id, durationSeconds, masterUrl: '', tracks },
  };
}

/** Takes the heads out of their chunks. */
function withHeads(catalogue: EdgeCatalogue): EdgeCatalogue {
  const { places, sizes, headOf } = catalogue;
  const all: EdgePlace[] = [...places];
  const bytes = [...sizes];
  for (const [object, head] of headOf.entries()) {
    const place = places[object];
    if (head < 0 || place === undefined) continue;
    const whole = sizes[object] ?? 0;
    bytes[head] = (whole * HEAD_SECONDS) / CHUNK_SECONDS;
    bytes[object] = whole - (bytes[head] ?? 0);
    all[head] = place;
    all[object] = { ...place, seconds: HEAD_SECONDS };
  }
  return { ...catalogue, places: all, sizes: Float64Array.from(bytes) };
}

/** Bytes that were filled, and what became of them: watched, or gone before. The others still wait. */
export type FillCount = { filled: number; watched: number; gone: number };

/** What an edge cache is judged by. */
export type EdgeCacheOptions = {
  readonly sizes: Float64Array;
  readonly capacityBytes: number;
  /** The group of an object and what is expected of it; absent: S3-FIFO alone. */
  readonly demand?: {
    readonly groupOf: (object: number) => number;
    readonly scoreOf: (group: number) => number;
  };
};

/** The node's disk without bytes: S3-FIFO, scored or not, over dense slots. */
export class EdgeCache {
  readonly #options: EdgeCacheOptions;
  readonly #slots = new Slots();
  readonly #policy;
  readonly #slotOf: Int32Array;
  readonly #objectOf: number[] = [];
  readonly #free: number[] = [];
  /** When objects were filled that nobody has watched yet; NaN: watched, or not filled. */
  readonly #filledAt: Float64Array;
  usedBytes = 0;
  /** Bytes that came in. */
  storedBytes = 0;
  readonly fills: FillCount = { filled: 0, watched: 0, gone: 0 };

  constructor(options: EdgeCacheOptions) {
    this.#options = options;
    const plain = s3fifo(undefined, this.#slots);
    this.#policy = options.demand === undefined ? plain : scored(plain, this.#slots, options.demand);
    this.#slotOf = new Int32Array(options.sizes.length).fill(-1);
    this.#filledAt = new Float64Array(options.sizes.length).fill(Number.NaN);
  }

  holds(object: number): boolean {
    return (this.#slotOf[object] ?? -1) >= 0;
  }

  /** A request: whether it hit. */
  ask(object: number): boolean {
    const slot = this.#slotOf[object] ?? -1;
    if (slot < 0) {
      this.#store(object, false);
      return false;
    }
    this.#policy.touch(slot);
    this.#end(object, 'watched');
    return true;
  }

  /** A fill at a time: whether it was fetched. */
  fill(object: number, at: number): boolean {
    if (this.holds(object)) return false;
    this.#store(object, true);
    this.#filledAt[object] = at;
    this.fills.filled += this.#options.sizes[object] ?? 0;
    return true;
  }

  /** Counts fills from now on, those of before in no figure. */
  countFills(): void {
    this.#filledAt.fill(Number.NaN);
    Object.assign(this.fills, { filled: 0, watched: 0, gone: 0 });
  }

  /** Bytes filled since then that nobody has watched yet. */
  waitingSince(at: number): number {
    return this.#filledAt.reduce((sum, each, object) => sum + (each >= at ? (this.#options.sizes[object] ?? 0) : 0), 0);
  }

  #end(object: number, as: 'watched' | 'gone'): void {
    if (Number.isNaN(this.#filledAt[object] ?? Number.NaN)) return;
    this.#filledAt[object] = Number.NaN;
    this.fills[as] += this.#options.sizes[object] ?? 0;
  }

  #store(object: number, isForetold: boolean): void {
    const bytes = this.#options.sizes[object] ?? 0;
    while (this.usedBytes + bytes > this.#options.capacityBytes) if (!this.#evict()) return;
    const slot = this.#free.pop() ?? this.#objectOf.length;
    this.#objectOf[slot] = object;
    this.#slotOf[object] = slot;
    if (isForetold) this.#policy.foretell(slot, bytes, object);
    else this.#policy.enter(slot, bytes, object);
    const group = this.#options.demand?.groupOf(object);
    if (group !== undefined) this.#slots.setGroup(slot, group);
    this.usedBytes += bytes;
    this.storedBytes += bytes;
  }

  #evict(): boolean {
    const slot = this.#policy.evict();
    const object = this.#objectOf[slot];
    if (object === undefined) return false;
    this.#slotOf[object] = -1;
    this.#end(object, 'gone');
    this.#free.push(slot);
    this.usedBytes -= this.#options.sizes[object] ?? 0;
    return true;
  }
}
