// Where telemetry comes in: beacons and CMCD, from the events route and from every served request. It counts facts of
// titles for everybody, and passes on who it was only for those who consented. Floods are dropped and counted.
import type { RawCmcd, ServedRecord } from '../../cache/cache.ts';
import { remember } from '../remember.ts';
import { type Allowance, openAllowance } from './allowance.ts';
import { type CmcdReport, parseCmcd, parseCmcdEvents } from './cmcd.ts';
import { eventOf } from './cmcd-event.ts';
import {
  believedTime,
  decodeUtf8,
  type EventBatch,
  type EventsCode,
  isTitleId,
  MAX_BATCH_BYTES,
  parseEvents,
  type TitleFact,
  type ViewerEvent,
  type ViewerRequest,
} from './event.ts';
import { type Inferred, segmentNumber } from './infer.ts';
import { createPlayCap, type PlayCap } from './play-cap.ts';
import { openRing } from './ring.ts';
import type { Session } from './session.ts';
import type { Sessions } from './sessions.ts';
import { COMPLETED_RATIO } from './viewing.ts';

/** Titles that were served, remembered so that a beacon cannot make up others. */
const MAX_SERVED_TITLES = 20_000;
/** A title of which events told plays so lately counts by them alone. */
const TOLD_MS = 3_600_000;
/** A play that begins later in a title is the end of a pause, seconds. */
const PLAY_STARTS_WITHIN_SECONDS = 30;
const NOT_MODIFIED = 304;
/** One object never counts for more, whatever its player says. */
const MAX_OBJECT_SECONDS = 60;

/** What openIntake() needs. Callbacks are synchronous and must not throw. */
export type IntakeOptions = {
  readonly sessions: Sessions;
  readonly now: () => number;
  readonly onTitle: (fact: TitleFact) => void;
  /** The session is there for consented viewers alone, as it is after the event. */
  readonly onEvent: (event: ViewerEvent, session: Session | undefined) => void;
  /** Only of requests that got what they asked for: an error is nothing to go on from. */
  readonly onRequest: (request: ViewerRequest, session: Session | undefined) => void;
  readonly titleOf: (path: string) => string | undefined;
  /** Whether the catalogue has the title. */
  readonly isTitle: (titleId: string) => boolean;
  readonly durationOf: (titleId: string) => number | undefined;
  /** Events and requests of one consented session that change its state. */
  readonly maxPerViewerPerMinute: number;
  /** Events of one address, behind which there may be a household or a school. */
  readonly maxPerAddressPerMinute: number;
  /** Events of all viewers together. */
  readonly maxPerMinute: number;
  /** Most that one title may have of the plays that count, 0..1 (agent/telemetry/play-cap.ts). */
  readonly maxTitleRatio: number;
};

/** What the events route answers. */
export type EventsAnswer =
  | { readonly status: 204 }
  | { readonly status: 400; readonly code: EventsCode; readonly message: string };

/** Counts since start. Events, but for the CMCD of requests. */
export type IntakeStats = {
  readonly accepted: number;
  /** Refused beacons (one each) and events that broke the schema. */
  readonly invalid: number;
  /** Over an allowance, or served requests that found the ring full. */
  readonly dropped: number;
  /** Plays that count for no title: over its cap, so that no flood moves its popularity further. */
  readonly capped: number;
  readonly cmcdParsed: number;
  readonly cmcdInvalid: number;
};

/** An open intake. */
export type Intake = {
  /** Takes the body of POST /.nearcast/events; `sender` is the day's hash of its address. Never throws. */
  readonly events: (body: Buffer, contentType: string, sender: string) => EventsAnswer;
  /** Takes a served request: one write into a ring, read in a later turn. Never throws. */
  readonly served: (record: ServedRecord) => void;
  /** Takes a request that another cache's log tells of: it is counted, and nothing is fetched for it. Never throws. */
  readonly logged: (record: ServedRecord) => void;
  /** Looks at players that have gone silent; twice a second. */
  readonly tick: () => void;
  readonly stats: () => IntakeStats;
  /** Reads what waits, then takes no more. */
  readonly close: () => void;
};

type Room = IntakeOptions & {
  readonly counts: { -readonly [Key in keyof IntakeStats]: number };
  /** In order of their last request. */
  readonly servedTitles: Set<string>;
  readonly allowance: Allowance;
  /** The manifest at the top of a title. */
  readonly topManifests: Map<string, string>;
  /** When events last told of plays of a title; the latest ones at the end. */
  readonly toldTitles: Map<string, number>;
  readonly cap: PlayCap;
};

/** Opens the intake. */
export function openIntake(options: IntakeOptions): Intake {
  const room: Room = {
    ...options,
    counts: { accepted: 0, invalid: 0, dropped: 0, capped: 0, cmcdParsed: 0, cmcdInvalid: 0 },
    servedTitles: new Set(),
    allowance: openAllowance(options),
    topManifests: new Map(),
    toldTitles: new Map(),
    cap: createPlayCap({ titleRatio: options.maxTitleRatio }),
  };
  const ring = openRing<ServedRecord>((record) => readServed(room, record));
  return {
    events: (body, contentType, sender) => {
      const isCmcd = /^\s*application\/cmcd\b/i.test(contentType);
      const answer = isCmcd ? takeCmcd(room, body, sender) : takeBeacon(room, body, sender);
      if (answer.status === 400) room.counts.invalid += 1;
      return answer;
    },
    served: (record) => {
      if (!ring.push(record)) room.counts.dropped += 1;
    },
    tick: () => {
      for (const { sid, inferred } of options.sessions.listen()) tellInferred(room, sid, inferred);
    },
    logged: (record) => void learn(room, record),
    stats: () => ({ ...room.counts }),
    close: ring.close,
  };
}

/** How many of so many events may pass in this minute; the others are counted as dropped. */
function admit(room: Room, count: number, sender: string): number {
  const admitted = room.allowance.admit(count, sender);
  room.counts.dropped += count - admitted;
  return admitted;
}

function takeBeacon(room: Room, body: Buffer, sender: string): EventsAnswer {
  const parsed = parseEvents(body, room.now());
  if (!parsed.ok) return { status: 400, code: parsed.code, message: parsed.message };
  const { batch } = parsed;
  room.counts.invalid += batch.invalid;
  const events = batch.events.slice(0, admit(room, batch.events.length, sender));
  // A word about consent is always heard, also when a flood drops the events beside it.
  const session = batch.consent === 'none' ? withdraw(room, batch) : takePersonal(room, batch, events);
  const passed = session === undefined ? events : events.slice(0, session.passed);
  room.counts.accepted += passed.length;
  for (const fact of distinctFacts(passed.flatMap((event) => factsOf(event, room.durationOf)))) tellEvent(room, fact);
  for (const event of passed) room.onEvent(event, session?.session);
  return { status: 204 };
}

function withdraw(room: Room, { sid }: EventBatch): undefined {
  room.sessions.withdraw(sid);
  return undefined;
}

type Passed = { readonly session: Session | undefined; readonly passed: number };

function takePersonal(room: Room, { sid, viewerToken }: EventBatch, events: readonly ViewerEvent[]): Passed {
  room.sessions.consent(sid, viewerToken);
  const passed = room.sessions.allow(sid, events.length, room.maxPerViewerPerMinute);
  room.counts.dropped += events.length - passed;
  const inOrder = events.slice(0, passed).sort((a, b) => a.at - b.at);
  for (const event of inOrder) room.sessions.take(sid, event);
  return { session: room.sessions.get(sid), passed };
}

/** What an event says of its title. Stateless, and so the same for viewers with and without consent. */
function factsOf(event: ViewerEvent, durationOf: (titleId: string) => number | undefined): readonly TitleFact[] {
  const { type, title: titleId, at, positionSeconds = 0 } = event;
  if (type === 'hover') return [{ titleId, kind: 'hover', amount: 1, at }];
  if (type === 'play' && positionSeconds < PLAY_STARTS_WITHIN_SECONDS)
    return [{ titleId, kind: 'play', amount: 1, at }];
  const durationSeconds = durationOf(titleId);
  const isAtEnd = durationSeconds !== undefined && positionSeconds >= COMPLETED_RATIO * durationSeconds;
  const hasLeft = type === 'stop' || type === 'next';
  return hasLeft && isAtEnd ? [{ titleId, kind: 'complete', amount: 1, at }] : [];
}

/** One fact of a kind for each title, however often a beacon repeats it. */
function distinctFacts(facts: readonly TitleFact[]): readonly TitleFact[] {
  return [...new Map(facts.map((fact) => [`${fact.kind} ${fact.titleId}`, fact])).values()];
}

const depthOf = (path: string): number => path.split('/').length;

/** Passes on a fact that an event told. */
function tellEvent(room: Room, fact: TitleFact): void {
  if (fact.kind === 'play') {
    remember(room.toldTitles, fact.titleId, room.now(), MAX_SERVED_TITLES);
  }
  // It was accepted before it was known to be too much.
  if (!tellTitle(room, fact)) room.counts.accepted -= 1;
}

/** Passes a fact on, unless its title was made up; false for a play of a title that has too many to count. */
function tellTitle(room: Room, fact: TitleFact): boolean {
  if (!room.isTitle(fact.titleId) && !room.servedTitles.has(fact.titleId)) return true;
  if (fact.kind === 'play' && !room.cap.takes(fact.titleId, room.now())) {
    room.counts.capped += 1;
    return false;
  }
  room.onTitle(fact);
  return true;
}

function takeCmcd(room: Room, body: Buffer, sender: string): EventsAnswer {
  if (body.byteLength > MAX_BATCH_BYTES) {
    return { status: 400, code: 'EVENTS_TOO_LARGE', message: `a report has at most ${MAX_BATCH_BYTES} bytes` };
  }
  const text = decodeUtf8(body);
  const { reports, invalid } = parseCmcdEvents(text ?? '');
  if (reports.length === 0) {
    return { status: 400, code: 'EVENTS_INVALID', message: 'expected CMCD reports in UTF-8, one a line' };
  }
  room.counts.invalid += invalid;
  for (const report of reports.slice(0, admit(room, reports.length, sender))) takeReport(room, report);
  return { status: 204 };
}

function takeReport(room: Room, report: CmcdReport): void {
  // A report of a response names what was asked for; a content id is the publisher's word and goes before it.
  const path = report.url === undefined ? undefined : URL.parse(report.url, 'http://node.invalid')?.pathname;
  const titleId = isTitleId(report.cid) ? report.cid : path === undefined ? undefined : room.titleOf(path);
  const at = believedTime(report.at ?? room.now(), room.now());
  if (at === undefined) {
    room.counts.invalid += 1;
    return;
  }
  const { sid } = report;
  if (sid !== undefined && !passes(room, sid)) return;
  room.counts.accepted += 1;
  const event = titleId === undefined ? undefined : eventOf(report, titleId, at);
  if (event !== undefined && sid !== undefined) room.sessions.take(sid, event);
  if (sid !== undefined) room.sessions.hear(sid, { report, titleId, at });
  if (event === undefined) return;
  for (const fact of factsOfReport(report, event, room.durationOf)) tellEvent(room, fact);
  room.onEvent(event, sid === undefined ? undefined : room.sessions.get(sid));
}

/** Players tell their states one by one: a start is a play, while going on after a pause is none. */
function factsOfReport(
  report: CmcdReport,
  event: ViewerEvent,
  durationOf: IntakeOptions['durationOf'],
): readonly TitleFact[] {
  const { title: titleId, at } = event;
  if (report.event === 'ce') return factsOf(event, durationOf);
  if (report.playState === 'starting') return [{ titleId, kind: 'play', amount: 1, at }];
  return report.playState === 'ended' ? [{ titleId, kind: 'complete', amount: 1, at }] : [];
}

/** False when a consented session has used up its minute. Others are no state, and always pass. */
function passes(room: Room, sid: string): boolean {
  if (room.sessions.get(sid) === undefined || room.sessions.allow(sid, 1, room.maxPerViewerPerMinute) === 1)
    return true;
  room.counts.dropped += 1;
  return false;
}

function readServed(room: Room, record: ServedRecord): void {
  const { request, sid } = learn(room, record);
  if (!isAnswer(record) && record.status !== NOT_MODIFIED) return;
  const sentMs = Math.max(0, room.now() - record.at);
  room.onRequest({ ...request, sentMs }, sid === undefined ? undefined : room.sessions.get(sid));
}

const isAnswer = ({ status }: ServedRecord): boolean => status >= 200 && status < 300;

type Learnt = { readonly request: Omit<ViewerRequest, 'sentMs'>; readonly sid: string | undefined };

/** Counts what a request says of its title, and tells its consented session. */
function learn(room: Room, record: ServedRecord): Learnt {
  const report = record.cmcd === undefined ? undefined : readCmcd(room, record.cmcd);
  const fromCid = isTitleId(report?.cid) ? report.cid : undefined;
  const titleId = record.title ?? room.titleOf(record.path) ?? fromCid;
  const isGood = isAnswer(record);
  if (titleId !== undefined && isGood) rememberTitle(room.servedTitles, titleId);
  const sid = report?.sid;
  const request = { ...requestOf(record, titleId, report), sentMs: Math.max(0, room.now() - record.at) };
  if (report !== undefined && sid !== undefined && isGood && passes(room, sid)) {
    const announced = request.nextPaths.map(room.titleOf).find((other) => other !== undefined && other !== titleId);
    const number = segmentNumber(record.path);
    const heard = { report, titleId, at: record.at, announced, segmentNumber: number };
    tellInferred(room, sid, room.sessions.hear(sid, heard));
  }
  const isVideo = report?.objectType === 'video' || report?.objectType === 'muxed';
  if (isVideo && isGood && record.isComplete && titleId !== undefined && report.objectSeconds !== undefined) {
    const amount = Math.min(MAX_OBJECT_SECONDS, report.objectSeconds);
    tellTitle(room, { titleId, kind: 'watch', amount, at: record.at });
  }
  if (titleId !== undefined && isGood && record.kind === 'manifest') tellStart(room, titleId, record);
  return { request, sid };
}

/**
 * A title's manifest is where a viewing begins, of players that tell no events: titles that events tell of count by
 * them. Of several playlists the one at the top counts: the first that was asked for, or one nearer to the root.
 */
function tellStart(room: Room, titleId: string, { path, at }: ServedRecord): void {
  if (room.now() - (room.toldTitles.get(titleId) ?? Number.NEGATIVE_INFINITY) < TOLD_MS) return;
  const top = room.topManifests.get(titleId);
  const isTop = top === undefined || depthOf(path) < depthOf(top);
  if (isTop) remember(room.topManifests, titleId, path, MAX_SERVED_TITLES);
  else if (path !== top) return;
  tellTitle(room, { titleId, kind: 'play', amount: 1, at });
}

/** What requests show is passed on as events, with how sure it is. */
function tellInferred(room: Room, sid: string, inferred: readonly Inferred[]): void {
  for (const { type, at, titleId, confidence, rate } of inferred) {
    const event = { type, at, title: titleId, confidence, ...(rate === undefined ? {} : { rate }) };
    room.onEvent(event, room.sessions.get(sid));
  }
}

function readCmcd(room: Room, source: RawCmcd): CmcdReport | undefined {
  if (source.query === undefined && Object.keys(source.headers ?? {}).length === 0) return undefined;
  const report = parseCmcd(source);
  room.counts[report === undefined ? 'cmcdInvalid' : 'cmcdParsed'] += 1;
  return report;
}

function rememberTitle(titles: Set<string>, titleId: string): void {
  titles.delete(titleId);
  titles.add(titleId);
  const [oldest] = titles.size > MAX_SERVED_TITLES ? titles : [];
  if (oldest !== undefined) titles.delete(oldest);
}

const FROM_CACHE: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated']);

function requestOf(
  record: ServedRecord,
  titleId: string | undefined,
  report: CmcdReport | undefined,
): Omit<ViewerRequest, 'sentMs'> {
  return {
    at: record.at,
    path: record.path,
    kind: record.kind,
    ...(titleId === undefined ? {} : { titleId }),
    nextPaths: report === undefined ? [] : pathsOf(report.nextObjectUrls, record.path),
    ...(report?.bitrateKbps === undefined ? {} : { bitrateKbps: report.bitrateKbps }),
    ...(report?.bufferMs === undefined ? {} : { bufferMs: report.bufferMs }),
    ...(report?.throughputKbps === undefined ? {} : { throughputKbps: report.throughputKbps }),
    ...(report?.topBitrateKbps === undefined ? {} : { topBitrateKbps: report.topBitrateKbps }),
    isHit: FROM_CACHE.has(record.result),
    sentBytes: record.bytes,
    ...(report?.objectSeconds === undefined ? {} : { objectSeconds: report.objectSeconds }),
    ...(report?.rate === undefined ? {} : { rate: report.rate }),
    isStartup: report?.isStartup ?? false,
    isStarved: report?.isStarved ?? false,
  };
}

/** Next objects as paths on this node; those on another host are left out. */
function pathsOf(urls: readonly string[], path: string): readonly string[] {
  const base = 'http://node.invalid';
  return urls.flatMap((url) => {
    const resolved = URL.canParse(url, base + path) ? new URL(url, base + path) : undefined;
    return resolved?.origin === base ? [resolved.pathname + resolved.search] : [];
  });
}
