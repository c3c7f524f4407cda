// What is known in memory of stored objects: the table and its hash table against plain models, with hashes that collide.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Places } from '../../../cache/rules/eviction/places.ts';
import { compareUtf8 } from '../../../cache/store/order.ts';
import { type Known, ObjectTable } from '../../../cache/store/table.ts';

/** Few hashes, so that many share one, and some whose homes lie at the table's end. */
const hash = fc.constantFrom(0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 12_345);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('add'), hash, id: fc.nat(2 ** 52), isPinned: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove'), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('use'), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pin'), pick: fc.nat() }) },
);

test('the table of objects is a map from slot to object, and finds all that share a hash', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.nat(50), (steps, reserved) => {
      const table = new ObjectTable();
      table.reserve(reserved);
      const model = new Map<number, Known>();
      for (const one of steps) {
        if ('hash' in one) {
          const known = {
            ...one,
            bytes: one.id % 1e9,
            purpose: one.id % 6,
            lane: one.id % 4,
            isUsed: one.id % 2 === 0,
          };
          const object = {
            id: known.id,
            hash: known.hash,
            bytes: known.bytes,
            purpose: known.purpose,
            lane: known.lane,
          };
          const flags = { isPinned: known.isPinned, isUsed: known.isUsed };
          const slot = table.add({ ...object, ...flags });
          expect(model.has(slot)).toBe(false);
          model.set(slot, { ...object, ...flags });
          continue;
        }
        const slot = [...model.keys()][one.pick % Math.max(1, model.size)];
        const known = slot === undefined ? undefined : model.get(slot);
        if (slot === undefined || known === undefined) continue;
        if (one.kind === 'remove') {
          table.remove(slot);
          model.delete(slot);
        } else if (one.kind === 'use') {
          table.markUsed(slot);
          model.set(slot, { ...known, isUsed: true });
        } else {
          table.markPinned(slot, !known.isPinned);
          model.set(slot, { ...known, isPinned: !known.isPinned });
        }
      }
      expect(table.size).toBe(model.size);
      for (const [slot, known] of model) {
        expect(table.at(slot)).toEqual(known);
        expect(model.get(table.slotOf(known.hash, known.id))).toMatchObject({ id: known.id, hash: known.hash });
        const same = [...model].filter(([, other]) => other.hash === known.hash).map(([other]) => other);
        expect(table.slotsOf(known.hash).sort((a, b) => a - b)).toEqual(same.sort((a, b) => a - b));
      }
      expect(table.slotsOf(777)).toEqual([]);
    }),
  );
});

test('places are found while the table is moved to a larger one, at every step of it', () => {
  const hashes = new Int32Array(6000);
  const places = new Places((place) => hashes[place] ?? 0);
  const held = new Set<number>();
  let state = 1;
  for (let place = 0; place < 6000; place += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    hashes[place] = place % 10 === 0 ? 7 : state; // Every tenth collides.
    places.ensure(place + 1);
    places.insert(place);
    held.add(place);
    const other = (state >>> 0) % (place + 1);
    expect(places.remove(other)).toBe(held.delete(other));
    expect(places.remove(other)).toBe(false);
    const looked = (state >>> 3) % (place + 1);
    expect(places.find(hashes[looked] ?? 0, (one) => one === looked)).toBe(held.has(looked) ? looked : -1);
  }
  for (const place of held) expect(places.find(hashes[place] ?? 0, (one) => one === place)).toBe(place);
  const sevens: number[] = [];
  places.find(7, (place) => {
    sevens.push(place);
    return false;
  });
  expect(new Set(sevens)).toEqual(new Set([...held].filter((place) => place % 10 === 0)));
});

test('an empty hash table finds nothing and removes nothing', () => {
  const places = new Places(() => 0);
  expect(places.find(0, () => true)).toBe(-1);
  expect(places.remove(3)).toBe(false);
});

test('keys are ordered as their UTF-8 bytes are', () => {
  const text = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
    }),
  );
  expect(compareUtf8('\u{1f600}', '\uffee')).toBeGreaterThan(0);
});
