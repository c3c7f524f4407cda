// Transitions: chances of what is turned to next, bounded in number, fading with time.
import { expect, test } from 'vitest';
import { createTransitions, turnedFrom } from '../../../agent/predict/transitions.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;

test('what often follows is likelier, what follows the latest title most, and one view is no rule', () => {
  const transitions = createTransitions();
  transitions.add('seldom', ['from'], NOW);
  expect(transitions.after(['from'], NOW).get('seldom')).toBeLessThan(0.2);
  for (let i = 0; i < 40; i += 1) transitions.add('often', ['from', 'earlier'], NOW);
  const after = transitions.after(['from'], NOW);
  expect(after.get('often')).toBeGreaterThan(0.8);
  expect(after.get('often')).toBeLessThanOrEqual(1);
  expect(after.get('often') ?? 0).toBeGreaterThan(10 * (after.get('seldom') ?? 1));
  expect(transitions.after(['other', 'from'], NOW).get('often')).toBeLessThan(after.get('often') ?? 0);
  expect(transitions.after(['unknown'], NOW).size).toBe(0);
});

test('fade, so that what follows now overtakes what followed once', () => {
  const transitions = createTransitions();
  for (let i = 0; i < 10; i += 1) transitions.add('then', ['from'], NOW - 60 * DAY);
  for (let i = 0; i < 5; i += 1) transitions.add('now', ['from'], NOW);
  const after = transitions.after(['from'], NOW);
  expect(after.get('now') ?? 0).toBeGreaterThan(after.get('then') ?? 1);
});

test('are bounded, and a title is never turned to from itself', () => {
  const transitions = createTransitions();
  transitions.add('same', ['same'], NOW);
  expect(transitions.size()).toBe(0);
  for (let i = 0; i < 25_000; i += 1) transitions.add('to', [`from-${i}`], NOW);
  expect(transitions.size()).toBe(20_000);
  for (let i = 0; i < 100; i += 1) transitions.add(`to-${i}`, ['busy'], NOW);
  expect(transitions.after(['busy'], NOW).size).toBe(24);
  expect(turnedFrom({ history: Array.from({ length: 9 }, (_, i) => ({ titleId: `t${i}` })) })).toEqual([
    't0',
    't1',
    't2',
    't3',
  ]);
});

test('of them pairs of many views outlive the process, and nothing of a rare one', () => {
  const before = createTransitions();
  for (let i = 0; i < 8; i += 1) before.add('often', ['from', 'rare-before'], NOW);
  for (let i = 0; i < 4; i += 1) before.add('rare', ['from'], NOW);
  const kept = JSON.parse(JSON.stringify(before.kept(NOW)));
  expect(JSON.stringify(kept)).not.toContain('rare');
  const after = createTransitions(kept);
  const chance = before.after(['from'], NOW).get('often');
  expect([...after.after(['from'], NOW)]).toEqual([['often', chance]]);
  // It fades and grows as if nothing had been between.
  expect(after.after(['from'], NOW + 14 * DAY)).toEqual(new Map([['often', expect.closeTo(4 / (6 + 5), 9)]]));
  after.add('often', ['from'], NOW);
  expect(after.after(['from'], NOW).get('often')).toBeGreaterThan(chance ?? 1);
  expect(createTransitions().kept(NOW)).toEqual({ version: 1, at: NOW, titles: [] });
});
