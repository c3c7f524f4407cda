// A finished package as its files say it, for the checks of playlists, manifest, text and thumbnails.
import type { Title } from '../contract.ts';
import type { Problem, SegmentFacts } from './check.ts';
import type { Timed } from './rate.ts';

/** Everything that was written. URLs are relative to the package folder. */
export type Written = {
  readonly title: Title;
  /** Of every segment of every video and audio track. */
  readonly facts: ReadonlyMap<string, SegmentFacts>;
  /** RFC 6381 codecs strings as the init segments have them, by track id. */
  readonly codecs: ReadonlyMap<string, string>;
  /** Playlists, manifest and WebVTT files. */
  readonly texts: ReadonlyMap<string, string>;
  /** Bytes of every file. */
  readonly sizes: ReadonlyMap<string, number>;
};

/** Collects problems of one kind at one place. */
export type Report = (message: string) => void;

/** A place to report problems to. */
export function reporter(problems: Problem[], kind: Problem['kind'], where: string): Report {
  return (message) => void problems.push({ kind, where, message });
}

/** `uri` as seen from the file at `from`, relative to the package folder; undefined when it leaves the folder. */
export function resolveUrl(uri: string, from: string): string | undefined {
  const root = 'http://package/p/';
  const { href } = new URL(uri, root + from);
  return href.startsWith(root) ? href.slice(root.length) : undefined;
}

/** The segments behind these URLs as they were measured, for rates; undefined when one is not there. */
export function measured(
  urls: readonly string[],
  facts: Written['facts'],
  part: 'bytes' | 'keyframeBytes',
): Timed | undefined {
  const found = urls.map((url) => facts.get(url));
  const timescale = found[0]?.timescale;
  if (timescale === undefined || found.includes(undefined)) return undefined;
  return { timescale, segments: found.map((one) => ({ ticks: one?.ticks ?? 0, bytes: one?.[part] ?? 0 })) };
}
