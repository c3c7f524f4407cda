// What prediction remembers over a restart: each part when it is due, all of it at a stop, and none that is not what it was.
import { describe, expect, test } from 'vitest';
import { openMemory, type Remembered } from '../../../agent/model/memory.ts';
import { openTrial } from '../../../agent/model/trial.ts';
import { openDriftWatch } from '../../../agent/model/watch.ts';
import { createTransitions } from '../../../agent/predict/transitions.ts';
import { raw } from '../../../agent/telemetry/event.ts';
import { seededRandom } from '../../../agent/train/random.ts';

const DAY_MS = 86_400_000;
const START = 20_000 * DAY_MS;
const random = seededRandom(4);

function open(documents = new Map<string, string>()) {
  const logged: unknown[] = [];
  const clock = { now: START };
  const written: string[] = [];
  const memory = openMemory({
    documents: {
      get: (name) => documents.get(name),
      put: (name, json) => {
        written.push(name);
        documents.set(name, json);
      },
    },
    now: () => clock.now,
    log: (_level, event, fields) => logged.push([event, fields?.['name']]),
  });
  return { memory, documents, clock, logged, written: () => written.splice(0) };
}

const watchOf = (now: () => number, kept?: Remembered['drift']) =>
  openDriftWatch({
    ...{ chance: random, now, onDrift: () => undefined, isLaunch: () => false, kept },
    shares: () => [{ titleId: 'a', share: 0.5 }],
  });

function partsOf() {
  const trial = openTrial();
  trial.add(raw('somebody'), { champion: 1, other: 0.5, baselines: { rules: 0.25 } });
  const other = { role: 'challenger', version: 'b' } as const;
  const watch = watchOf(() => START);
  watch.played('a');
  watch.ranked(3);
  const transitions = createTransitions();
  for (let time = 0; time < 9; time += 1) transitions.add('next', ['a'], START);
  return {
    life: () => ({ version: 1, champion: 'a', other, since: 5, trial: trial.kept() }) as const,
    drift: watch.kept,
    transitions: () => transitions.kept(START),
    trial,
  };
}

test('all of it comes back as it was saved, and names no viewer', () => {
  const { memory, documents, logged } = open();
  const parts = partsOf();
  memory.save(parts, 'all');
  expect([...documents.values()].join()).not.toContain('somebody');
  const after = open(documents).memory;
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  expect(after.read('life')).toEqual(plain(parts.life()));
  expect(after.read('drift')).toEqual(plain(parts.drift()));
  expect(after.read('transitions')).toEqual(plain(parts.transitions()));
  expect(logged).toEqual([]);
});

test('the trial is written as soon as it has changed, what is large every ten minutes and every hour', () => {
  const { memory, clock, written } = open();
  const parts = partsOf();
  memory.save(parts, 'due');
  expect(written()).toEqual(['predict.life', 'predict.drift', 'predict.transitions']);
  memory.save(parts, 'due');
  expect(written()).toEqual([]);
  parts.trial.add(raw('somebody'), { champion: 1, baselines: {} });
  memory.save(parts, 'due');
  expect(written()).toEqual(['predict.life']);
  clock.now += 600_000;
  memory.save(parts, 'due');
  expect(written()).toEqual(['predict.drift']);
  memory.save({ ...parts, life: () => undefined }, 'all');
  expect(written()).toEqual(['predict.drift', 'predict.transitions']);
});

describe('a document that is not what it should be begins anew, and is told', () => {
  const { memory, documents } = open();
  memory.save(partsOf(), 'all');
  const broken = (name: keyof Remembered, change: (text: string) => string): readonly [string, string] => [
    name,
    change(documents.get(`predict.${name}`) ?? ''),
  ];
  test.each([
    ['life', 'no JSON {'],
    ['life', 'null'],
    broken('life', (text) => text.replace('"version":1', '"version":2')),
    broken('life', (text) => text.replace('"all":1', '"all":"many"')),
    broken('life', (text) => text.replace('"rules":', '"rules":3,"other":')),
    broken('drift', (text) => text.replace('"seen":1', '"seen":null')),
    broken('drift', (text) => text.replace('"bins":[3]', '"bins":[12]')),
    broken('drift', (text) => text.replace('["a"]', '[7]')),
    broken('transitions', (text) => text.replace('"next",', '"next","next",')),
    broken('transitions', (text) => text.replace('"titles":', '"pairs":')),
  ] as const)('%s: %s', (name, text) => {
    const { memory: reading, logged } = open(new Map([[`predict.${name}`, text]]));
    // Sound: the table has names of parts alone.
    expect(reading.read(name as keyof Remembered)).toBeUndefined();
    expect(logged).toEqual([['predict.unreadable', name]]);
  });
});

describe('a watch over drift', () => {
  const titles = Array.from({ length: 50 }, (_, at) => ({ titleId: `t${at}`, share: 0.02 }));
  const openOver = (clock: { now: number }, drifts: string[], kept?: Remembered['drift']) =>
    openDriftWatch({
      ...{ chance: random, now: () => clock.now, isLaunch: () => false, shares: () => titles },
      onDrift: (what) => drifts.push(what),
      ...(kept === undefined ? {} : { kept: JSON.parse(JSON.stringify(kept)) }),
    });
  const play = (watch: ReturnType<typeof openOver>, from: number): void => {
    for (let time = 0; time < 400; time += 1) watch.played(`t${from + (time % 25)}`);
  };

  test('goes on with its day, and compares it with the day before as if nothing had been between', () => {
    const clock = { now: START };
    const drifts: string[] = [];
    const first = openOver(clock, drifts);
    play(first, 0);
    const second = openOver(clock, drifts, first.kept());
    play(second, 0);
    clock.now += DAY_MS;
    second.sweep();
    // The next day: half of it before the restart, half after.
    play(second, 25);
    const third = openOver(clock, drifts, second.kept());
    play(third, 25);
    clock.now += DAY_MS;
    third.sweep();
    expect(drifts).toEqual(['demand']);
    expect(third.trust()).toBe(0.5);
    expect(openOver(clock, drifts, third.kept()).trust()).toBe(0.5);
  });

  test('after days without a process compares nothing, but trusts no more than before', () => {
    const clock = { now: START };
    const drifts: string[] = [];
    const before = openOver(clock, drifts);
    play(before, 0);
    clock.now += DAY_MS;
    before.sweep();
    play(before, 25);
    const kept = { ...before.kept(), trust: 0.25 };
    clock.now += 3 * DAY_MS;
    const after = openOver(clock, drifts, kept);
    after.sweep();
    play(after, 25);
    clock.now += DAY_MS;
    after.sweep();
    expect(drifts).toEqual([]);
    expect(after.last().demand).toBeUndefined();
    expect(after.trust()).toBe(0.5);
  });
});
