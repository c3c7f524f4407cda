// What viewers' players ask of the node itself: /.nearcast/* and the demo page. Each route has its own deadline and
// body limit; the cache matches them before look-up.
import type { Route, RouteReply, RouteRequest } from '../cache/cache.ts';
import type { NodeStats } from './node-stats.ts';

/** A title as the page lists it. */
export type ListedTitle = {
  readonly id: string;
  readonly name: string;
  readonly manifestUrl: string;
  readonly poster: string | null;
  /** Path of the page that tells how it was encoded. */
  readonly report?: string;
  readonly ready: boolean;
  readonly progressRatio: number;
  /** This node encodes it; else its publisher did. */
  readonly isEncodedHere: boolean;
  /** Code with which its last encode failed. */
  readonly failure?: string;
  readonly nextId?: string;
  readonly series?: string;
};

type AnswerPreview = (asked: {
  readonly titleId: string;
  readonly sid: string | undefined;
  readonly signal: AbortSignal;
  readonly maxHeight: number | undefined;
}) => Promise<RouteReply>;

/** What the routes are made of; agent.ts gives it. */
export type ApiParts = {
  readonly titles: () => readonly ListedTitle[];
  readonly events: (
    body: Buffer,
    contentType: string,
    sender: string,
  ) => { readonly status: 204 } | { readonly status: 400; readonly code: string; readonly message: string };
  /** Undefined where previews are off: then there is no such route. */
  readonly preview: AnswerPreview | undefined;
  readonly stats: () => NodeStats;
  /** Newest first. */
  readonly decisions: () => readonly unknown[];
  readonly encodes: () => readonly {
    readonly id: string;
    readonly state: string;
    readonly step: string;
    readonly progressRatio: number;
  }[];
  readonly previewDeadlineMs: number;
  readonly page: readonly Route[];
};

const JSON_TYPE = 'application/json';
const MAX_EVENT_BYTES = 16 * 1024;
/** A preview is at its deadline by itself; this only stops a fault from hanging a player. */
const PREVIEW_MARGIN_MS = 2_000;

const json = (status: number, value: unknown): RouteReply => ({
  status,
  headers: { 'content-type': JSON_TYPE, 'cache-control': 'no-store' },
  body: JSON.stringify(value),
});

const ROUTE_CODES = ['PREVIEW_NOT_FOUND', 'ROUTE_NOT_FOUND'] as const;
const refused = (code: (typeof ROUTE_CODES)[number], message: string): RouteReply => json(404, { code, message });

const sum = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((total, value) => total + value, 0);

/** Ratios since start, 0..1; null before the first request. Hits are answers without a byte from the origin. */
export function summarise(stats: NodeStats): {
  readonly hitRatio: number | null;
  readonly byteHitRatio: number | null;
} {
  const { requests, sentBytes, originBytes } = stats.cache;
  const cached = sum(requests.hit) + sum(requests.stale) + sum(requests.revalidated);
  const asked = cached + sum(requests.miss) + sum(requests.pass);
  const sent = sum(sentBytes);
  const fetchedForViewers = originBytes.viewer;
  return {
    hitRatio: asked === 0 ? null : cached / asked,
    byteHitRatio: sent === 0 ? null : Math.max(0, 1 - fetchedForViewers / sent),
  };
}

function activity(parts: ApiParts): RouteReply {
  const stats = parts.stats();
  const [model] = stats.predict.models;
  return json(200, {
    ...summarise(stats),
    requests: Object.fromEntries(Object.entries(stats.cache.requests).map(([result, kinds]) => [result, sum(kinds)])),
    originBytes: sum(stats.cache.originBytes),
    servedBytes: sum(stats.cache.sentBytes),
    prefetch: stats.cache.prefetch,
    prefetched: parts.decisions(),
    model: {
      version: model?.version ?? null,
      answeredBy: stats.predict.answers.model >= stats.predict.answers.rules ? 'model' : 'rules',
    },
    encodes: parts.encodes().filter(({ state }) => state === 'queued' || state === 'running'),
  });
}

/** A path segment without its percent-encoding; undefined where that is malformed. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // URIError: no title has such a name.
    return undefined;
  }
}

async function preview(answer: AnswerPreview, request: RouteRequest): Promise<RouteReply> {
  const name = request.path.slice('/.nearcast/preview/'.length);
  const titleId = name.endsWith('.m3u8') ? decoded(name.slice(0, -'.m3u8'.length)) : undefined;
  if (titleId === undefined) return refused('PREVIEW_NOT_FOUND', 'previews are TITLE.m3u8');
  const maxHeight = Number(request.query.get('maxHeight') ?? Number.NaN);
  return answer({
    titleId,
    sid: request.query.get('sid') ?? undefined,
    maxHeight: Number.isInteger(maxHeight) && maxHeight > 0 ? maxHeight : undefined,
    signal: request.signal,
  });
}

/** The routes of CONTRACTS "Viewer routes" that this node answers, and the page. */
export function viewerRoutes(parts: ApiParts): readonly Route[] {
  const { preview: answerPreview } = parts;
  const read = { methods: ['GET', 'HEAD'], maxBodyBytes: 0, deadlineMs: 1_000 };
  return [
    { ...read, prefix: '/.nearcast/titles', answer: () => json(200, parts.titles()) },
    { ...read, prefix: '/.nearcast/activity', answer: () => activity(parts) },
    ...(answerPreview === undefined
      ? []
      : [
          {
            ...read,
            prefix: '/.nearcast/preview/',
            deadlineMs: parts.previewDeadlineMs + PREVIEW_MARGIN_MS,
            answer: (request: RouteRequest) => preview(answerPreview, request),
          },
        ]),
    {
      prefix: '/.nearcast/events',
      methods: ['POST'],
      maxBodyBytes: MAX_EVENT_BYTES,
      deadlineMs: 1_000,
      answer: ({ body, headers, remoteHash }) => {
        const answer = parts.events(body, headers['content-type'] ?? '', remoteHash);
        return answer.status === 204 ? { status: 204 } : json(400, { code: answer.code, message: answer.message });
      },
    },
    {
      ...read,
      prefix: '/.nearcast/',
      answer: () => refused('ROUTE_NOT_FOUND', 'no such route of this node'),
    },
    ...parts.page,
  ];
}
