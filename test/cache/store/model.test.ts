// The store against a naive model of it, a Map, under random histories of writes, reads, changes and restarts.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Store, StoredObject } from '../../../cache/store/object.ts';
import { openStore } from '../../../cache/store/store.ts';
import { bodyOf, drain, MIB, optionsOf, put, temporary } from './support.ts';

type Known = { label: string; bytes: number; isPinned: boolean; isInvalidated: boolean; etag: string; hits: number };
type Model = Map<string, Known>;

const SIZES = [0, 1, 4096, 65_536, 65_537, 200_000, MIB, MIB + 3, 2 * MIB + 1];
const name = fc.record({ key: fc.constantFrom('a', 'b', 'ab', 'ü/"\'%_'), variant: fc.constantFrom('', 'br') });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('put'), name, bytes: fc.constantFrom(...SIZES), isSized: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('read'), name, from: fc.nat(1000), to: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove'), name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('touch'), name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      ...{ kind: fc.constant('update'), name, etag: fc.string({ unit: 'binary' }) },
      ...{ isPinned: fc.boolean(), isInvalidated: fc.boolean() },
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen') }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Name = { readonly key: string; readonly variant: string };

const idOf = ({ key, variant }: Name): string => `${key} ${variant}`;
const pick = (store: Store, { key, variant }: Name): StoredObject | undefined =>
  store.find(key).find((object) => object.variant === variant);

/** One step on both; the store must agree with the model about what it was asked. */
async function apply(
  store: Store,
  model: Model,
  step: Exclude<Step, { kind: 'reopen' }>,
  count: number,
): Promise<void> {
  if (!('name' in step)) return;
  const id = idOf(step.name);
  const known = model.get(id);
  const object = pick(store, step.name);
  expect(object !== undefined, id).toBe(known !== undefined);
  if ('bytes' in step) {
    const label = `${id} ${count}`;
    const headers = [['etag', label]] as const;
    const stored = await put(store, step.name.key, bodyOf(label, step.bytes), {
      ...{ variant: step.name.variant, headers, isSized: step.isSized },
    });
    expect(stored).toMatchObject({ lengthBytes: step.bytes, headers });
    model.set(id, { label, bytes: step.bytes, isPinned: false, isInvalidated: false, etag: label, hits: 0 });
  } else if (known === undefined || object === undefined) return;
  else if ('from' in step) {
    const [start = 0, end = 0] = [step.from, step.to]
      .map((at) => Math.floor((known.bytes * at) / 1000))
      .toSorted((a, b) => a - b);
    const body = await drain(store.read(object, { start, end }));
    expect(body.equals(bodyOf(known.label, known.bytes).subarray(start, end))).toBe(true);
  } else if ('etag' in step) {
    const { etag, isPinned, isInvalidated } = step;
    store.update(object, { headers: [['etag', etag]], isPinned, isInvalidated });
    Object.assign(known, { etag, isPinned, isInvalidated });
  } else if (step.kind === 'touch') {
    expect(store.touch(object)).toEqual({ isFirst: known.hits === 0 });
    known.hits += 1;
  } else {
    store.remove(object);
    model.delete(id);
  }
}

async function expectSame(store: Store, model: Model): Promise<void> {
  expect(store.stats().objects).toBe(model.size);
  const charged = [...model.values()].reduce((sum, known) => sum + known.bytes + 1024, 0);
  expect(store.stats().usedBytes.disk).toBe(charged);
  for (const [id, known] of model) {
    const [key = '', variant = ''] = id.split(' ');
    const object = pick(store, { key, variant });
    expect(object, id).toMatchObject({
      ...{ lengthBytes: known.bytes, isPinned: known.isPinned, isInvalidated: known.isInvalidated, hits: known.hits },
      headers: [['etag', known.etag]],
    });
    if (object === undefined) continue;
    const body = await drain(store.read(object, { start: 0, end: known.bytes }));
    expect(body.equals(bodyOf(known.label, known.bytes))).toBe(true);
  }
}

test.each([0, MIB, 64 * MIB])('random histories with %i bytes of RAM', async (ramBytes) => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const directory = temporary();
    const options = optionsOf(directory.path, { ramBytes });
    const model: Model = new Map();
    let store = await openStore(options);
    try {
      for (const [count, step] of steps.entries()) {
        if ('name' in step) await apply(store, model, step, count);
        else {
          await store.close(10_000);
          store = await openStore(options);
        }
      }
      await expectSame(store, model);
      await store.close(10_000);
      store = await openStore(options);
      await expectSame(store, model);
    } finally {
      await store.close(10_000);
      directory.remove();
    }
  });
  await fc.assert(property, { numRuns: 8 });
});
