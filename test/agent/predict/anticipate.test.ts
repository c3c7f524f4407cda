// Hazards of what viewers do next: they sum to 1, follow what is counted, and lean on wider cells where little is.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Hazard,
  LAST_ACTIONS,
  type Moment,
  OUTCOMES,
  observeStretch,
  placeIn,
  readCounts,
  staysFor,
} from '../../../agent/predict/anticipate.ts';
import { SIMULATED_PRIOR } from '../../../agent/predict/anticipate-prior.ts';

const at = (over: Partial<Moment> = {}): Moment => ({
  ...{ positionSeconds: 600, durationSeconds: 1500, last: 'start', sinceSeconds: 600 },
  ...over,
});
const moments = fc.record({
  positionSeconds: fc.double({ min: 0, max: 1e5, noNaN: true }),
  durationSeconds: fc.option(fc.double({ min: 0, max: 1e5, noNaN: true }), { nil: undefined }),
  last: fc.constantFrom(...LAST_ACTIONS),
  sinceSeconds: fc.double({ min: 0, max: 1e5, noNaN: true }),
});

describe('hazards', () => {
  test('are chances, whatever was counted', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(moments, fc.constantFrom(...OUTCOMES))), moments, (seen, moment) => {
        const hazard = new Hazard();
        for (const [each, outcome] of seen) hazard.observe(each, outcome);
        const chances = Object.values(hazard.intent(moment));
        expect(chances.every((chance) => chance >= 0 && chance <= 1)).toBe(true);
        expect(chances.reduce((sum, chance) => sum + chance, 0)).toBeCloseTo(1, 6);
      }),
    );
  });

  test('tell apart a jump that was just made from one long ago, and the credits from the middle', () => {
    const hazard = new Hazard();
    for (let time = 0; time < 200; time += 1) {
      observeStretch(hazard, at({ last: 'seek', sinceSeconds: 0 }), 3, 'seek');
      observeStretch(hazard, at({ last: 'start', sinceSeconds: 0, positionSeconds: 0 }), 1450, 'next');
    }
    const soon = hazard.intent(at({ last: 'seek', sinceSeconds: 1 }));
    expect(soon.seek).toBeGreaterThan(0.8);
    expect(hazard.intent(at({ positionSeconds: 700 })).next).toBeLessThan(0.05);
    expect(hazard.intent(at({ positionSeconds: 1449, sinceSeconds: 1449 })).next).toBeGreaterThan(0.05);
    // A cell in which nothing was counted leans on the last action and its age.
    expect(hazard.intent(at({ last: 'seek', sinceSeconds: 1, positionSeconds: 5 })).seek).toBeGreaterThan(0.1);
  });

  test('survive being saved, and counts of another shape are refused', () => {
    const hazard = new Hazard(SIMULATED_PRIOR);
    expect(new Hazard(hazard.save()).intent(at())).toEqual(hazard.intent(at()));
    expect(() => new Hazard([1, 2, 3])).toThrow(RangeError);
    expect(readCounts(['0:1,2,3,4,5']).slice(0, 6)).toEqual([1, 2, 3, 4, 5, 0]);
  });

  test('begin with what simulated viewers do: a jump follows a jump, and the credits are left', () => {
    const hazard = new Hazard(SIMULATED_PRIOR);
    expect(hazard.intent(at({ last: 'seek', sinceSeconds: 2 })).seek).toBeGreaterThan(
      5 * hazard.intent(at({ last: 'start' })).seek,
    );
    const credits = hazard.intent(at({ positionSeconds: 1480, sinceSeconds: 1480 }));
    expect(credits.next + credits.leave).toBeGreaterThan(0.1);
  });
});

test('places are the beginning, the middle and the end, also of what has no known end', () => {
  expect(placeIn(at({ positionSeconds: 0 }))).toBe(0);
  expect(placeIn(at({ positionSeconds: 1490 }))).toBe(8);
  expect(placeIn(at({ durationSeconds: undefined, positionSeconds: 1e6 }))).toBe(5);
});

test('the further ahead and the likelier a viewer leaves, the less likely is something asked for', () => {
  const calm = { continue: 0.97, pause: 0.01, seek: 0.01, next: 0, leave: 0.01 };
  const gone = { continue: 0, pause: 0, seek: 0, next: 0, leave: 1 };
  expect(staysFor(calm, 10)).toBeGreaterThan(staysFor(calm, 60));
  expect(staysFor(calm, 60)).toBeGreaterThan(0.9);
  expect(staysFor(gone, 10)).toBe(0);
});
