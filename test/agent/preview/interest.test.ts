// Interest: where viewers come back to and where they leave, from a few events or none.
import { expect, test } from 'vitest';
import { createInterest, type Interest } from '../../../agent/preview/interest.ts';

const SECONDS = 640;
type How = { readonly interest?: Interest; readonly day?: number; readonly count: number };
function hear(
  type: string,
  from: number,
  until: number,
  { interest = createInterest(), day = 1, count }: How,
): Interest {
  for (let n = 0; n < count; n += 1)
    interest.heard({ type, titleId: 'film', positionSeconds: from + ((until - from) * n) / count }, SECONDS, day);
  return interest;
}

test('what is sought lies above, what is left below, the rest near 0', () => {
  const interest = hear('stop', 400, 440, { count: 100, interest: hear('seek', 100, 140, { count: 100 }) });
  const film = interest.of('film', SECONDS);
  expect(film?.over(100, 140)).toBeGreaterThan(0.5);
  expect(film?.over(400, 440)).toBeLessThan(-0.5);
  expect(Math.abs(film?.over(250, 290) ?? 1)).toBeLessThan(0.5);
});

test('what is seen again lies above in all its parts, up to a minute of it', () => {
  const interest = createInterest();
  const back = { type: 'seek', titleId: 'film', positionSeconds: 100 };
  for (let n = 0; n < 100; n += 1) interest.heard({ ...back, fromSeconds: n < 50 ? 140 : 600 }, SECONDS, 1);
  const film = interest.of('film', SECONDS);
  expect(film?.over(100, 110)).toBeGreaterThan(0.5);
  expect(film?.over(125, 135)).toBeGreaterThan(0.5);
  expect(film?.over(300, 310)).toBeLessThanOrEqual(0);
  expect(createInterest(interest.snapshot()).of('film', SECONDS)?.over(125, 135)).toBe(film?.over(125, 135));
});

test('a seek ahead counts where it ends', () => {
  const interest = createInterest();
  for (let n = 0; n < 100; n += 1)
    interest.heard({ type: 'seek', titleId: 'film', positionSeconds: 300, fromSeconds: 100 }, SECONDS, 1);
  expect(interest.of('film', SECONDS)?.over(300, 305)).toBeGreaterThan(0.5);
  expect(interest.of('film', SECONDS)?.over(150, 250)).toBeLessThanOrEqual(0);
});

test('a few events say little, and none nothing', () => {
  const few = hear('seek', 100, 110, { count: 4 }).of('film', SECONDS);
  expect(few?.over(100, 110)).toBeLessThan(0.5);
  expect(hear('seek', 100, 110, { count: 3 }).of('film', SECONDS)).toBeUndefined();
  expect(createInterest().of('film', SECONDS)).toBeUndefined();
});

test.each([
  ['a pause', { type: 'pause', titleId: 'film', positionSeconds: 10 }, SECONDS],
  ['no position', { type: 'seek', titleId: 'film' }, SECONDS],
  ['a position beyond the end', { type: 'seek', titleId: 'film', positionSeconds: 900 }, SECONDS],
  ['no duration', { type: 'seek', titleId: 'film', positionSeconds: 10 }, undefined],
  ['a stop at the end', { type: 'stop', titleId: 'film', positionSeconds: 630 }, SECONDS],
  ['a stop at once', { type: 'stop', titleId: 'film', positionSeconds: 3 }, SECONDS],
])('%s counts nothing', (_name, event, duration) => {
  const interest = createInterest();
  for (let n = 0; n < 20; n += 1) interest.heard(event, duration, 1);
  expect(interest.of('film', SECONDS)).toBeUndefined();
});

test('what was a month ago counts half, and a clock set back ages nothing', () => {
  const interest = hear('seek', 500, 540, { count: 30, day: 31, interest: hear('seek', 100, 140, { count: 30 }) });
  const film = interest.of('film', SECONDS);
  expect(film?.over(500, 540)).toBeGreaterThan((film?.over(100, 140) ?? 1) + 0.02);
  const later = hear('seek', 100, 140, { count: 30, day: 31 });
  const back = hear('seek', 500, 540, { count: 30, day: 1, interest: later }).of('film', SECONDS);
  expect(back?.over(500, 540)).toBeCloseTo(back?.over(100, 140) ?? 0, 6);
});

test('a snapshot goes on where it was; what is none begins anew', () => {
  const interest = hear('seek', 100, 140, { count: 50 });
  const again = createInterest(interest.snapshot());
  expect(again.of('film', SECONDS)?.over(100, 140)).toBe(interest.of('film', SECONDS)?.over(100, 140));
  for (const text of [
    '',
    '{',
    'null',
    '{"version":1,"titles":[]}',
    '{"version":2,"titles":[[1],["film",[1],[2],[3],4,5]]}',
  ])
    expect(createInterest(text).of('film', SECONDS)).toBeUndefined();
});
