// Plans: made within a turn of a change in what they are made of, after two minutes of watching and every 90 s; once for each session,
// within bounds however many events come; and nothing is remembered of a session that is gone.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openPlans, type Plans } from '../../agent/plans.ts';
import { historyOf } from '../../agent/preview-taste.ts';
import { raw } from '../../agent/telemetry/event.ts';
import type { CurrentViewing, Session } from '../../agent/telemetry/session.ts';

const START = Date.UTC(2026, 10, 20, 12);
let now: number;
let sessions: Map<string, Session>;
let planned: { sid: string; titles: readonly string[] }[];
let turned: string[];
let plans: Plans;
const RANKED = ['next', 'playing', 'other'].map((titleId) => ({ titleId, score: 1, reasons: [], features: {} }));

const viewing = (titleId: string, watchedSeconds = 0): CurrentViewing => ({
  ...{ titleId, watchedSeconds, positionSeconds: watchedSeconds, at: now, isCompleted: false },
  ...{ isPlaying: true, rate: 1 },
});
const sessionOf = (sid: string, current?: CurrentViewing, before: readonly string[] = []): Session => {
  const history = [...(current === undefined ? [] : [current]), ...before.map((titleId) => viewing(titleId, 600))];
  const session = { sid: raw(sid), viewer: raw(sid), history, hovers: [], actions: [], ...(current && { current }) };
  sessions.set(sid, session);
  return session;
};

beforeEach(() => {
  now = START;
  sessions = new Map();
  planned = [];
  turned = [];
  plans = openPlans({
    // Sound: a ranking as the predictor gives it, its features aside, which plans do not read.
    rank: async ({ limit }) => ({ answeredBy: 'rules', titles: RANKED.slice(0, limit) as never }),
    sessionOf: (sid) => sessions.get(sid),
    turned: (titleId, before) => turned.push(`${before.join(' ')} > ${titleId}`),
    onPlan: (titles, sid) => planned.push({ sid, titles: titles.map(({ titleId }) => titleId) }),
    maxSessions: 100,
    now: () => now,
  });
});
afterEach(() => plans.close());

/** Tells of a session and waits for what follows; how many plans came of it. */
async function plansAfter(session: Session): Promise<number> {
  const before = planned.length;
  plans.heard(session);
  await plans.idle();
  return planned.length - before;
}

describe('a plan', () => {
  test('comes of what plays at once, without that itself, and says how long it took', async () => {
    expect(await plansAfter(sessionOf('s', viewing('playing')))).toBe(1);
    expect(planned).toEqual([{ sid: 's', titles: ['next', 'other'] }]);
    expect(plans.stats().seconds.counts.at(-1)).toBe(1);
  });

  test('comes of each further thing that it is made of, and of each once', async () => {
    const playing = sessionOf('s', viewing('playing'));
    const look = { titleId: 'looked-at', at: now };
    const changes: readonly Session[] = [
      playing,
      { ...playing, hovered: look, hovers: [look] },
      { ...playing, hovers: [{ ...look, dwellBucket: '3-10' }] },
      { ...playing, hovers: [{ ...look, dwellBucket: '3-10' }], announced: { titleId: 'announced' } },
      // Its viewer has left it.
      sessionOf('s', undefined, ['playing']),
      // On another device of the viewer another title was opened.
      sessionOf('s', undefined, ['elsewhere', 'playing']),
    ];
    for (const changed of changes) {
      sessions.set('s', changed);
      expect(await plansAfter(changed)).toBe(1);
      expect(await plansAfter(changed)).toBe(0);
    }
  });

  test('stands while a player announces nothing, or the same again', async () => {
    const playing = sessionOf('s', viewing('playing'));
    await plansAfter({ ...playing, announced: { titleId: 'announced' } });
    expect(await plansAfter(playing)).toBe(0);
    expect(await plansAfter({ ...playing, announced: { titleId: 'announced' } })).toBe(0);
  });

  test('does not come of what changes nothing, but after two minutes of watching and at the latest every 90 s', async () => {
    await plansAfter(sessionOf('s', viewing('playing')));
    expect(await plansAfter(sessionOf('s', viewing('playing', 5)))).toBe(0);
    expect(await plansAfter(sessionOf('s', viewing('playing', 119)))).toBe(0);
    expect(await plansAfter(sessionOf('s', viewing('playing', 120)))).toBe(1);
    now += 89_999;
    expect(await plansAfter(sessionOf('s', viewing('playing', 121)))).toBe(0);
    now += 1;
    expect(await plansAfter(sessionOf('s', viewing('playing', 122)))).toBe(1);
    const ended = { ...viewing('playing', 123), isCompleted: true };
    expect(await plansAfter(sessionOf('s', ended))).toBe(1);
  });

  test('of another title is one, and what it was turned to from is learnt once', async () => {
    await plansAfter(sessionOf('s', viewing('one')));
    await plansAfter(sessionOf('s', undefined, ['one']));
    await plansAfter(sessionOf('s', viewing('one')));
    expect(await plansAfter(sessionOf('s', viewing('two'), ['one', 'zero']))).toBe(1);
    expect(turned).toEqual([' > one', 'one zero > two']);
  });

  test('of a session that is gone meanwhile is not made', async () => {
    const session = sessionOf('s', viewing('playing'));
    plans.heard(session);
    sessions.clear();
    await plans.idle();
    expect(planned).toEqual([]);
  });
});

describe('many events', () => {
  test('of one session in one turn are one plan', async () => {
    const session = sessionOf('s', viewing('playing'));
    for (let at = 0; at < 1_000; at += 1) plans.heard(session);
    await plans.idle();
    expect(planned).toHaveLength(1);
  });

  test('of many sessions wait for their turn, up to a bound, and no more than the allowance are made', async () => {
    for (let at = 0; at < 1_500; at += 1) plans.heard(sessionOf(`s${at}`, viewing('playing')));
    expect(plans.stats().dropped).toBe(500);
    for (let turns = 0; turns < 300; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    // The clock stands still: what was saved up is spent, and nothing comes in.
    expect(planned).toHaveLength(100);
  });

  test('of sessions that are gone take nothing from the allowance of others', async () => {
    for (let at = 0; at < 900; at += 1) plans.heard(sessionOf(`s${at}`, viewing('playing')));
    sessions.clear();
    for (let at = 0; at < 100; at += 1) plans.heard(sessionOf(`late${at}`, viewing('playing')));
    await plans.idle();
    expect(planned).toHaveLength(100);
  });

  test('wait no longer once plans are closed', async () => {
    for (let at = 0; at < 200; at += 1) plans.heard(sessionOf(`s${at}`, viewing('playing')));
    const idle = plans.idle();
    plans.close();
    await idle;
    expect(planned.length).toBeLessThan(200);
  });

  test('leave nothing behind once their sessions are gone', async () => {
    await plansAfter(sessionOf('s', viewing('one')));
    sessions.clear();
    plans.sweep();
    await plansAfter(sessionOf('s', viewing('one')));
    expect(turned).toEqual([' > one', ' > one']);
  });
});

test('previews are told of the same taste: what speaks for it, the weightiest first', () => {
  const session = sessionOf('s', viewing('now', 1_200), ['before']);
  const left = { ...session, history: [...session.history, { ...viewing('left', 5) }] };
  const history = historyOf({ ...left, hovers: [{ titleId: 'looked-at', at: now, dwellBucket: 'over-10' }] }, now);
  expect(history?.watched.map(({ titleId }) => titleId)).toEqual(['now', 'before', 'looked-at']);
  expect(history?.watched.every(({ watchedRatio }) => watchedRatio > 0 && watchedRatio <= 1)).toBe(true);
  expect(historyOf(undefined, now)).toBeUndefined();
});
