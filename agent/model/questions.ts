// What was ranked for viewers who consented, and what they opened next: the events that models are trained and compared
// on. In RAM alone, bounded in number and bytes, without a name once the viewer is forgotten.
import type { PredictSession } from '../predict/profile.ts';
import { remember } from '../remember.ts';
import { dayOf } from '../state-schema.ts';
import type { Raw } from '../telemetry/event.ts';

/** A ranking as it was computed: candidates, their features [titleIds.length, width] and scores [titleIds.length]. */
export type Scored = {
  readonly titleIds: readonly string[];
  readonly features: Float32Array;
  readonly scores: Float32Array;
  /** Version of the model whose process answered; undefined: plain code did. */
  readonly modelVersion: string | undefined;
  /** What EASE alone says of the candidates, where the model knows. */
  readonly ease?: Float32Array | undefined;
};

/** A viewer, as telemetry knows one: a session that has a name in RAM. */
export type Viewer = PredictSession & { readonly viewer: Raw<string> };

/** A question and what came of it. `chosen` is -1 when the title that was opened was no candidate. */
export type AnsweredQuestion = Scored & {
  readonly at: number;
  readonly viewer: Raw<string>;
  /** Newest first; empty once the day is over. */
  readonly history: readonly string[];
  readonly chosen: number;
};

/** What openQuestions() needs. */
export type QuestionsOptions = {
  readonly rank: (session: PredictSession) => Promise<Scored>;
  readonly onAnswered: (question: AnsweredQuestion) => void;
  readonly now: () => number;
};

/** Live questions. */
export type Questions = {
  /** A viewer gave a sign of life; a title that is another than before answers what was asked. Cheap when it is not. */
  readonly seen: (session: Viewer) => void;
  /** On a new day drops what was watched before the questions of the last: memory of viewers ends with their day. */
  readonly sweep: () => void;
  /** Drops all that is known of these viewers. */
  readonly forget: (viewers: ReadonlySet<string>) => void;
  /** Answered questions, oldest first. */
  readonly answered: () => readonly AnsweredQuestion[];
  readonly stats: () => { readonly pending: number; readonly answered: number; readonly skipped: number };
};

/** Viewers of whom a question waits. */
const MAX_PENDING = 2_000;
/** Bytes of answered questions; a question over 250 titles has about 13,000. */
const MAX_BYTES = 32 * 1024 * 1024;
/** Questions a second: each costs a ranking. */
const MAX_PER_SECOND = 20;
/** A viewer who comes back later than this chooses anew. */
const MAX_WAIT_MS = 6 * 3_600_000;
/** Older questions are not trained on. */
const MAX_AGE_MS = 7 * 86_400_000;
/** Titles of a viewer's history that a question keeps. */
const MAX_HISTORY = 50;

type Pending = {
  readonly titleId: string;
  readonly at: number;
  readonly asked: (Scored & { history: string[] }) | undefined;
};

const bytesOf = ({ features, scores }: Scored): number => features.byteLength + scores.byteLength;

/** Answered questions within their bytes and age. */
type Ring = {
  readonly add: (question: AnsweredQuestion, now: number) => void;
  readonly drop: (viewers: ReadonlySet<string>) => void;
  readonly endDay: (today: number) => void;
  readonly all: () => readonly AnsweredQuestion[];
};

function openRing(): Ring {
  let kept: AnsweredQuestion[] = [];
  let bytes = 0;
  return {
    add: (question, now) => {
      kept.push(question);
      bytes += bytesOf(question);
      while (bytes > MAX_BYTES || (kept[0] !== undefined && now - kept[0].at > MAX_AGE_MS)) {
        const oldest = kept.shift();
        if (oldest === undefined) break;
        bytes -= bytesOf(oldest);
      }
    },
    drop: (viewers) => {
      kept = kept.filter(({ viewer }) => !viewers.has(viewer));
      bytes = kept.reduce((sum, question) => sum + bytesOf(question), 0);
    },
    endDay: (today) => {
      kept = kept.map((question) => (dayOf(question.at) < today ? { ...question, history: [] } : question));
    },
    all: () => kept,
  };
}

/** Allows so many a second. */
function openAllowance(now: () => number): () => boolean {
  let second = 0;
  let used = 0;
  return () => {
    const at = Math.floor(now() / 1000);
    if (at !== second) used = 0;
    second = at;
    used += 1;
    return used <= MAX_PER_SECOND;
  };
}

/** Opens it, empty. */
export function openQuestions({ rank, onAnswered, now }: QuestionsOptions): Questions {
  const pending = new Map<string, Pending>();
  const ring = openRing();
  const isAllowed = openAllowance(now);
  const count = { answered: 0, skipped: 0 };
  let day = dayOf(now());

  const put = (viewer: string, entry: Pending): void => void remember(pending, viewer, entry, MAX_PENDING);
  const ask = async (session: Viewer, entry: Pending): Promise<void> => {
    const asked = await rank(session);
    // Meanwhile the viewer may have gone on, or been forgotten.
    if (pending.get(session.viewer) !== entry || asked.titleIds.length === 0) return;
    const history = session.history.slice(0, MAX_HISTORY).map(({ titleId }) => titleId);
    put(session.viewer, { ...entry, asked: { ...asked, history } });
  };
  const settle = ({ asked, at }: Pending, viewer: Viewer['viewer'], titleId: string): void => {
    if (asked === undefined || now() - at > MAX_WAIT_MS) return;
    const question = { ...asked, at: now(), viewer, chosen: asked.titleIds.indexOf(titleId) };
    ring.add(question, now());
    count.answered += 1;
    onAnswered(question);
  };

  return {
    seen: (session) => {
      const { viewer } = session;
      const titleId = session.history[0]?.titleId;
      const before = pending.get(viewer);
      if (titleId === undefined || before?.titleId === titleId) return;
      if (before !== undefined) settle(before, viewer, titleId);
      const entry: Pending = { titleId, at: now(), asked: undefined };
      put(viewer, entry);
      if (!isAllowed()) {
        count.skipped += 1;
        return;
      }
      // A ranking never rejects for its model; what else is wrong with it costs this question alone.
      ask(session, entry).catch(() => {
        count.skipped += 1;
      });
    },
    sweep: () => {
      const today = dayOf(now());
      if (today === day) return;
      day = today;
      ring.endDay(today);
      for (const [viewer, { at }] of pending) if (now() - at > MAX_WAIT_MS) pending.delete(viewer);
    },
    forget: (viewers) => {
      for (const viewer of viewers) pending.delete(viewer);
      ring.drop(viewers);
    },
    answered: ring.all,
    stats: () => ({ pending: pending.size, ...count }),
  };
}
