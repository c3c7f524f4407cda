// Routes for previews and artwork: TITLE.m3u8, TITLE.mp4 and TITLE.vtt below /.nearcast/preview/, TITLE below
// /.nearcast/artwork/, each within its deadline.
import { createHash } from 'node:crypto';
import type { Route, RouteReply, RouteRequest } from '../cache/cache.ts';
import type { Ads, SlotRequest } from './preview/ads.ts';
import type { RenditionHint } from './preview/playlist.ts';
import type { Preview, PreviewReply, PreviewRequest } from './preview/preview.ts';

/** What the routes are made of. */
export type PreviewRoutesParts = {
  readonly preview: Pick<Preview, 'answer' | 'film' | 'captions' | 'artwork'>;
  readonly ads: Pick<Ads, 'fill'>;
  /** Null: there are no ad slots. */
  readonly promos: string | null;
  readonly deadlineMs: number;
  readonly fileDeadlineMs: number;
  /** Answer for a path that is no preview. */
  readonly refused: (message: string) => RouteReply;
};

const PREFIX = '/.nearcast/preview/';
const ARTWORK = '/.nearcast/artwork/';
const SLOT = '/.nearcast/ad/slot';
const NOT_KEPT = 'private, no-store';
const MAX_SLOT_BYTES = 8 * 1024;
const MOST_SLOT_SECONDS = 120;
const SLOT_HELP =
  'a slot is {"version": 1, "seconds": 1 to 120} and may have "sid", "note", "maxHeight", "throughput"\n';
/** An answer is at its deadline by itself; this only stops a fault from hanging a player. */
const MARGIN_MS = 2_000;
const NAME = /^(.+)\.(m3u8|mp4|vtt)$/;
/** Names of codecs that a device may say it decodes, and how many. */
const CODEC = /^[a-z0-9.]{2,32}$/i;
const MOST_CODECS = 8;
const MOST_CHARACTERS = 64;

/** The routes. */
export function previewRoutes(parts: PreviewRoutesParts): readonly Route[] {
  return [
    {
      prefix: PREFIX,
      methods: ['GET', 'HEAD'],
      maxBodyBytes: 0,
      deadlineMs: Math.max(parts.deadlineMs, parts.fileDeadlineMs) + MARGIN_MS,
      answer: (request) => answer(parts, request),
    },
    {
      prefix: ARTWORK,
      methods: ['GET', 'HEAD'],
      maxBodyBytes: 0,
      deadlineMs: parts.deadlineMs + MARGIN_MS,
      answer: (request) => artwork(parts, request),
    },
    ...(parts.promos === null ? [] : [slotRoute(parts)]),
  ];
}

async function answer({ preview, refused }: PreviewRoutesParts, request: RouteRequest): Promise<RouteReply> {
  const [, name = '', kind] = NAME.exec(request.path.slice(PREFIX.length)) ?? [];
  const titleId = decoded(name);
  if (titleId === undefined || kind === undefined)
    return refused('previews are TITLE.m3u8, TITLE.mp4 and, for a cut, TITLE.vtt');
  const { query, signal } = request;
  const asked: PreviewRequest = {
    ...{ titleId, signal, sid: query.get('sid') ?? undefined, hint: hintOf(query) },
    ...{ arm: shortText(query.get('cut')), language: shortText(query.get('lang')) },
    ...{ hasSound: query.get('sound') === '1', hasCaptions: query.get('captions') === '1' },
    ...{
      text: shortText(query.get('text')),
      run: positive(query.get('run')) ?? (query.get('run') === '0' ? 0 : undefined),
    },
  };
  if (kind === 'm3u8') return toRoute(await preview.answer(asked));
  if (kind === 'vtt') return toRoute(await preview.captions(asked));
  const reply = await preview.film(asked);
  return reply.status === 200 && asked.arm !== undefined ? ranged(reply, request) : toRoute(reply);
}

/** JSON; or, for `redirect=1`, the way to the picture itself, for an `img` without a script. */
async function artwork(
  { preview, refused }: PreviewRoutesParts,
  { path, query, signal }: RouteRequest,
): Promise<RouteReply> {
  const titleId = decoded(path.slice(ARTWORK.length));
  if (titleId === undefined || titleId === '') return refused('artwork is that of a TITLE');
  const width = positive(query.get('width'));
  const reply = await preview.artwork({ titleId, signal, width, sid: query.get('sid') ?? undefined });
  const location = reply.headers['content-location'];
  if (location === undefined || query.get('redirect') !== '1') return toRoute(reply);
  return { status: 302, headers: { location, 'cache-control': NOT_KEPT } };
}

/** A slot: JSON by POST, or the same as a query by GET; one file, or 204 and why there is none. */
function slotRoute({ ads, fileDeadlineMs }: PreviewRoutesParts): Route {
  return {
    prefix: SLOT,
    methods: ['GET', 'POST'],
    maxBodyBytes: MAX_SLOT_BYTES,
    deadlineMs: 3 * fileDeadlineMs + MARGIN_MS,
    answer: async (request) => {
      const asked = request.method === 'GET' ? fieldsOf(request.query) : readJson(request.body);
      const slot = asked === undefined ? undefined : readSlot(asked, request.signal);
      if (slot === undefined) return { status: 400, headers: { 'cache-control': NOT_KEPT }, body: SLOT_HELP };
      const reply = await ads.fill(slot);
      if (reply.outcome !== 'filled')
        return { status: 204, headers: { 'cache-control': NOT_KEPT, 'nearcast-why': reply.outcome } };
      const headers = {
        'content-type': `video/mp4; codecs="${reply.codecs}"`,
        'cache-control': NOT_KEPT,
        'nearcast-arm': reply.token,
        'nearcast-promo': reply.promo,
        'nearcast-title': reply.titleId,
        'nearcast-seconds': reply.seconds.toFixed(3),
        'nearcast-note': reply.note,
      };
      return { status: 200, headers, body: reply.bytes };
    },
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(query: URLSearchParams): Fields {
  const numbers = ['seconds', 'maxHeight', 'throughput'].map((name) => [name, Number(query.get(name) ?? Number.NaN)]);
  const texts = ['sid', 'note'].map((name) => [name, query.get(name) ?? undefined]);
  const given = [...numbers, ...texts].filter(([, value]) => value !== undefined && !Number.isNaN(value));
  return { version: 1, ...Object.fromEntries(given) };
}

function readJson(body: Buffer): Fields | undefined {
  try {
    const read: unknown = JSON.parse(body.toString());
    return typeof read === 'object' && read !== null ? { ...read } : undefined;
  } catch {
    return undefined; // Answered with 400.
  }
}

function readSlot(
  { version, seconds, sid, note, maxHeight, throughput }: Fields,
  signal: AbortSignal,
): SlotRequest | undefined {
  const isNumber = (value: unknown, most: number) =>
    value === undefined || (typeof value === 'number' && value > 0 && value <= most);
  const isText = (value: unknown) =>
    value === undefined || (typeof value === 'string' && value.length <= MAX_SLOT_BYTES);
  if (version !== 1 || typeof seconds !== 'number' || !isNumber(seconds, MOST_SLOT_SECONDS)) return undefined;
  if (!isNumber(maxHeight, 10_000) || !isNumber(throughput, 10_000_000) || !isText(sid) || !isText(note))
    return undefined;
  return {
    ...{ seconds, signal },
    sid: typeof sid === 'string' ? sid : undefined,
    note: typeof note === 'string' ? note : undefined,
    hint: {
      heightPixels: typeof maxHeight === 'number' ? maxHeight : undefined,
      throughputBps: typeof throughput === 'number' ? throughput * 1000 : undefined,
    },
  };
}

const toRoute = ({ status, headers, body }: PreviewReply): RouteReply => ({ status, headers, body });

/** What a route's query says of device and line: `maxHeight` in pixels, `throughput` in kbit/s, `codecs` by commas. */
function hintOf(query: URLSearchParams): RenditionHint {
  const codecs = (query.get('codecs') ?? '').split(',').filter((name) => CODEC.test(name));
  const kbps = positive(query.get('throughput'));
  return {
    heightPixels: positive(query.get('maxHeight')),
    throughputBps: kbps === undefined ? undefined : kbps * 1000,
    codecs: codecs.slice(0, MOST_CODECS),
  };
}

function positive(text: string | null): number | undefined {
  const value = Number(text ?? Number.NaN);
  return Number.isInteger(value) && value > 0 ? value : undefined;
}

const shortText = (text: string | null): string | undefined =>
  text === null || text === '' ? undefined : text.slice(0, MOST_CHARACTERS);

/** A path segment without its percent-encoding; undefined where that is malformed. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // URIError: no title has such a name.
  }
}

/** One range of a file that is the same for everybody (RFC 9110 section 14.2); several, or none that fits: all of it. */
function ranged(reply: PreviewReply, { headers: asked }: RouteRequest): RouteReply {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const headers = { ...reply.headers, etag, 'accept-ranges': 'bytes' };
  if ((asked['if-none-match'] ?? '').split(/\s*,\s*/).includes(etag)) return { status: 304, headers };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(asked['range'] ?? '') ?? [];
  const isOther = asked['if-range'] !== undefined && asked['if-range'] !== etag;
  if ((first === '' && last === '') || isOther) return { status: 200, headers, body };
  const start = first === '' ? Math.max(0, body.length - Number(last)) : Number(first);
  const end = first === '' || last === '' ? body.length - 1 : Math.min(Number(last), body.length - 1);
  if (start > end) return { status: 416, headers: { ...headers, 'content-range': `bytes */${body.length}` } };
  const range = { 'content-range': `bytes ${start}-${end}/${body.length}` };
  return { status: 206, headers: { ...headers, ...range }, body: body.subarray(start, end + 1) };
}
