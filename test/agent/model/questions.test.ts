// Live questions in memory, and the watch over drift, a day at a time.
import { describe, expect, test } from 'vitest';
import { type AnsweredQuestion, openQuestions, type Scored } from '../../../agent/model/questions.ts';
import { openDriftWatch } from '../../../agent/model/watch.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import { seededRandom } from '../../../agent/train/random.ts';

describe('live questions', () => {
  const scored = (ids: readonly string[]): Scored => ({
    titleIds: ids,
    features: new Float32Array(ids.length),
    scores: new Float32Array(ids.length),
    modelVersion: undefined,
  });
  const viewing = (viewer: string, ...ids: readonly string[]) => ({
    viewer: raw(viewer),
    history: ids.map((titleId) => ({ titleId, positionSeconds: 1, at: 1, isCompleted: false })),
  });
  let now = 0;
  const asked = () => {
    const answered: AnsweredQuestion[] = [];
    const questions = openQuestions({
      rank: async () => scored(['a', 'b', 'c']),
      onAnswered: (question) => answered.push(question),
      now: () => now,
    });
    return { questions, answered };
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  test('the next title that a viewer opens answers; going on with one does not; a stranger title is a miss', async () => {
    const { questions, answered } = asked();
    questions.seen(viewing('x', 'a'));
    await turn();
    questions.seen(viewing('x', 'a'));
    expect(answered).toEqual([]);
    questions.seen(viewing('x', 'b', 'a'));
    await turn();
    questions.seen(viewing('x', 'zzz', 'b', 'a'));
    expect(answered.map(({ chosen, history }) => [chosen, ...history])).toEqual([
      [1, 'a'],
      [-1, 'b', 'a'],
    ]);
    expect(questions.answered()).toHaveLength(2);
  });

  test('who is forgotten leaves nothing; who comes back late has chosen anew; a flood is asked a few times', async () => {
    const { questions, answered } = asked();
    for (const viewer of ['x', 'y', 'late']) questions.seen(viewing(viewer, 'a'));
    await turn();
    questions.seen(viewing('x', 'b', 'a'));
    questions.forget(new Set(['x', 'y']));
    questions.seen(viewing('y', 'b', 'a'));
    expect(questions.answered()).toEqual([]);
    now += 7 * 3_600_000;
    questions.seen(viewing('late', 'b', 'a'));
    expect(answered.map(({ viewer }) => viewer)).toEqual(['x']);
    for (let viewer = 0; viewer < 5_000; viewer += 1) questions.seen(viewing(`flood-${viewer}`, 'a'));
    expect(questions.stats()).toMatchObject({ pending: 2_000 });
    expect(questions.stats().skipped).toBeGreaterThan(4_900);
  });

  test('once the day is over, what a viewer had watched before is forgotten; the questions stay', async () => {
    const { questions } = asked();
    questions.seen(viewing('x', 'a'));
    await turn();
    questions.seen(viewing('x', 'b', 'a'));
    questions.sweep();
    expect(questions.answered().map(({ history }) => history)).toEqual([['a']]);
    now += 86_400_000;
    questions.sweep();
    expect(questions.answered().map(({ history, chosen }) => [history, chosen])).toEqual([[[], 1]]);
    expect(questions.stats()).toMatchObject({ pending: 0 });
  });

  test('answered questions stay within their bytes', async () => {
    const large = { ...scored(['a', 'b']), features: new Float32Array(2 ** 21) };
    const questions = openQuestions({ rank: async () => large, onAnswered: () => undefined, now: () => now });
    for (let at = 0; at < 10; at += 1) {
      questions.seen(viewing('x', `t${at}`));
      await turn();
    }
    expect(questions.answered().length).toBeLessThanOrEqual(4);
    expect(questions.stats().answered).toBe(9);
  });
});

test('row 50: popularity turned upside down overnight is an alert within its window, and halves what is trusted', () => {
  const random = seededRandom(50);
  const titles = Array.from({ length: 200 }, (_, at) => ({ titleId: `t${at}`, share: 1 / (at + 1) }));
  const sum = titles.reduce((total, { share }) => total + share, 0);
  let day = 0;
  const drifts: string[] = [];
  const watch = openDriftWatch({
    shares: () => titles,
    isLaunch: (titleId) => titleId === 'new',
    chance: random,
    now: () => day * 86_400_000,
    onDrift: (what) => drifts.push(`${what} on day ${day}`),
  });
  const draw = (): number => {
    let left = random() * sum;
    return titles.findIndex(({ share }) => {
      left -= share;
      return left < 0;
    });
  };
  const playDay = (of: (rank: number) => string): void => {
    for (let play = 0; play < 3_000; play += 1) watch.played(of(draw()));
    day += 1;
    watch.sweep();
    watch.sweep();
  };
  for (let quiet = 0; quiet < 4; quiet += 1) playDay((rank) => `t${rank}`);
  expect([drifts, watch.trust()]).toEqual([[], 1]);
  playDay((rank) => (random() < 0.3 ? 'new' : `t${rank}`));
  expect(drifts).toEqual([]);
  playDay((rank) => `t${199 - rank}`);
  expect(drifts).toEqual(['demand on day 6']);
  expect(watch.trust()).toBe(0.5);
  expect(watch.last().demand).toMatchObject({ isDrifting: true });
  playDay((rank) => `t${199 - rank}`);
  expect(watch.trust()).toBe(1);
});
