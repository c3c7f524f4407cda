// Stills: sharp and lit shots first, unlike each other, nothing black, and nothing of the end.
import { expect, test } from 'vitest';
import { chooseStills, stillWorth } from '../../../encoder/plan/stills.ts';
import { makeTitle, makeVariedTitle } from '../../fake/title.ts';

test('are few, unlike each other, lit, and not of the end', () => {
  for (const seed of [1, 2, 3]) {
    const title = makeVariedTitle('film', seed);
    const places = chooseStills(title, 4);
    expect(places).toHaveLength(4);
    for (const place of places) {
      expect(title.shots[place]?.features.luma).toBeGreaterThanOrEqual(0.08);
      expect(title.shots[place]?.startSeconds).toBeLessThan(title.durationSeconds * 0.85);
    }
    const worths = places.map((place) => {
      const shot = title.shots[place];
      return shot === undefined ? 0 : stillWorth(shot);
    });
    expect(worths).toEqual(worths.toSorted((a, b) => b - a));
  }
});

test('of one shot there is one, of a black title none', () => {
  expect(chooseStills(makeTitle('one', [{ seconds: 2 }]), 4)).toEqual([0]);
  expect(chooseStills(makeTitle('black', [{ seconds: 2, features: { luma: 0 } }]), 4)).toEqual([]);
  expect(chooseStills(makeVariedTitle('film'), 0)).toEqual([]);
});
