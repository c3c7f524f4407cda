// One exchange with an origin in types: what is asked, what is heard, and how it is held or ended.
import type { Readable } from 'node:stream';
import type { Log } from '../contract.ts';
import type { CacheError } from '../errors.ts';
import type { Fields } from '../rules/fields.ts';

/** What an origin is asked for. `resource`: path and query. */
export type OriginRequest = {
  readonly method: string;
  readonly resource: string;
  readonly headers: Fields;
  readonly body?: Readable;
};

/** The head of an origin's answer. */
export type OriginHead = {
  readonly status: number;
  readonly headers: Fields;
  readonly requestedAt: number;
  readonly receivedAt: number;
  /** Content-Length; undefined for a body of unknown length. */
  readonly lengthBytes: number | undefined;
  /** False when only the end of the connection ends the body, so that a cut one cannot be told from a whole one. */
  readonly isDelimited: boolean;
};

/** 102 (RFC 2518 section 10.1) or 103 (RFC 8297), with its end-to-end fields. */
export type Interim = { readonly status: number; readonly headers: Fields };

/** Hears an answer: onHead, then onBytes any number of times, then onEnd; or onError at any point, which is then last. */
export type OriginSink = {
  /** Before onHead, any number of times: an interim response (RFC 9110 section 15.2) that viewers may hear of. */
  readonly onInterim?: (interim: Interim) => void;
  readonly onHead: (head: OriginHead) => void;
  readonly onBytes: (bytes: Buffer) => void;
  readonly onEnd: () => void;
  readonly onError: (error: CacheError) => void;
};

/** A running exchange. After abort() its sink hears nothing more. */
export type Exchange = {
  readonly pause: () => void;
  readonly resume: () => void;
  readonly abort: () => void;
};

/** An origin that can be asked. */
export type Origin = {
  readonly name: string;
  readonly match: string;
  readonly fetch: (request: OriginRequest, sink: OriginSink) => Exchange;
};

/** Clock, chance, log and counters of an origin. */
export type OriginTools = {
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  /** Hears of each request to one of its servers that failed. */
  readonly onFailure: () => void;
};
