// A viewer's request and its answer, as far as HTTP/1.1 and HTTP/2 have them in common; all that the cache may use of them.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Fields } from '../rules/fields.ts';

/** What a viewer asks; its body is the stream itself. Node's IncomingMessage is one. */
export type ViewerRequest = Readable & {
  readonly method?: string | undefined;
  /** The target: with HTTP/2 always a path. */
  readonly url?: string | undefined;
  /** `1.0`, `1.1` or `2`; what HTTP/1.1 itself calls 2.0 is neither. */
  readonly httpVersion: string;
  /** Without pseudo fields; `host` is that of `:authority` where there is one. */
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  /** The connection; requests of one connection share it. */
  readonly socket: Socket;
};

type Events = 'close' | 'drain' | 'finish';

/** What a viewer is answered. Node's ServerResponse is one. */
export type ViewerResponse = {
  readonly headersSent: boolean;
  readonly statusCode: number;
  /** Nothing can be written any more. */
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  /** Everything has been handed over to the connection. */
  readonly writableFinished: boolean;
  /** HTTP/1.1: whether the connection may serve another request; with HTTP/2 it always may. */
  shouldKeepAlive: boolean;
  /** HTTP/1.1: the connection while the answer is under way; with HTTP/2 an answer has no say over it. */
  readonly socket: Socket | null;
  /** HTTP/2: an interim response before the head, from 102 on. */
  readonly writeInterim?: (status: number, fields: Fields) => unknown;
  /** HTTP/1.1: Node writes no others. A Link that is none makes the second throw. */
  readonly writeProcessing?: () => unknown;
  readonly writeEarlyHints?: (hints: Record<string, string | string[]>) => unknown;
  /** A field for the head to come, unless that has it itself. */
  readonly setHeader: (name: string, value: number | string) => unknown;
  /** `headers`: by name, or a flat list of names and values. */
  readonly writeHead: (status: number, headers?: OutgoingHttpHeaders | string[]) => unknown;
  readonly flushHeaders: () => void;
  /** False: the next `drain` says when to go on. */
  readonly write: {
    (chunk: Uint8Array | string): boolean;
    /** `onSent` hears when the connection has taken it all, or of the error that ended it. */
    (chunk: Uint8Array, onSent: (error?: Error | null) => void): boolean;
    (chunk: string, encoding: BufferEncoding): boolean;
  };
  readonly end: {
    (chunk?: Uint8Array | string): unknown;
    (chunk: string, encoding: BufferEncoding): unknown;
  };
  /** Ends an answer that cannot be completed, so that its reader knows. */
  readonly destroy: () => unknown;
  readonly on: (event: Events, listener: () => void) => unknown;
  readonly once: (event: Events, listener: () => void) => unknown;
  readonly off: (event: Events, listener: () => void) => unknown;
};
