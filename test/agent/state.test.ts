// The agent's database on a real disk: what is written is read after a kill, and damage costs the past alone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { AgentError } from '../../agent/errors.ts';
import { openState, type State } from '../../agent/state.ts';
import { dayOf, WATCH_BUCKETS, watchBucket } from '../../agent/state-schema.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-state-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let opened: State[] = [];
afterEach(() => {
  for (const state of opened) state.close();
  opened = [];
});

let directories = 0;
function freshDir(): string {
  directories += 1;
  return join(root, String(directories));
}

type Line = readonly [level: string, event: string];
function open(dir: string, lines: Line[] = []): State {
  const state = openState({ dir, flushMs: 60_000, log: (level, event) => lines.push([level, event]) });
  opened.push(state);
  return state;
}

/** Every byte in a directory, as text in which ASCII can be found. */
function bytesOf(dir: string): string {
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), 'latin1'))
    .join('\n');
}

const noBytes = { viewer: 0, revalidate: 0, 'in-session': 0, 'off-peak': 0, publish: 0, operator: 0 };

describe('rows', () => {
  test('of every table are seen at once and after a restart', () => {
    const dir = freshDir();
    const watch = { day: 20_000, pseudonym: 'p1', titleId: 't1', bucket: 'part' } as const;
    const arm = {
      slot: 'preview',
      title: 't1',
      arm: 'action',
      information: 1.5,
      response: -2.25,
      at: 1_700_000_000_000,
    };
    const guard = { slot: 'preview', arm: 'action', plays: 7, completions: 3, stoppedUntil: 1_700_000_000_000 };
    const choice = {
      ...{ day: 20_000, slot: 'preview', titleId: 't1', policy: 'linucb', chosen: 1 },
      ...{ arms: ['opening', 'action'], propensities: [0.75, 0.25], expected: [0.1, 0.123457] },
    };
    const exposure = { day: 20_000, experiment: 'e', variant: 'v', covariates: [1, 2.5], outcomes: [0, 0, 0] };
    const first = open(dir);
    const check = (state: State): void => {
      expect(state.watches.since(19_999)).toEqual([watch]);
      expect(state.watches.since(20_001)).toEqual([]);
      expect(state.snapshots.get('popularity')).toBe('{"b":2}');
      expect(state.snapshots.get('absent')).toBeUndefined();
      expect(state.arms.all()).toEqual([arm]);
      expect(state.guards.all()).toEqual([guard]);
      expect(state.choices.since(0)).toEqual([
        { ...choice, reward: 0.7 },
        { ...choice, reward: 0 },
      ]);
      expect(state.spent.get(5)).toBe(3);
      expect(state.spent.get(6)).toBe(0);
      expect(state.exposures.of('e')).toMatchObject([{ ...exposure, outcomes: [1, 2, 0] }]);
      expect(state.exposures.of('other')).toEqual([]);
      expect(state.ledger.bytesOn(20_000)).toEqual({ ...noBytes, 'off-peak': 1500 });
      expect(state.secrets.get('preview')).toEqual(Buffer.from([1, 2, 255]));
      expect(state.secrets.get('absent')).toBeUndefined();
    };
    first.watches.put(watch);
    first.snapshots.put('popularity', '{"a":1}');
    first.snapshots.put('popularity', '{"b":2}');
    first.arms.put(arm);
    const id = first.choices.add(choice);
    first.choices.add(choice);
    first.choices.reward(id, 0.4);
    first.choices.reward(id, 0.3);
    first.guards.put(guard);
    for (const bit of [1, 2]) first.spent.add({ id: 5, day: 20_000, bit });
    first.exposures.update(first.exposures.add(exposure), [1, 2, 0]);
    first.ledger.add({ day: 20_000, purpose: 'off-peak', bytes: 1000 });
    first.ledger.add({ day: 20_000, purpose: 'off-peak', bytes: 500 });
    first.secrets.set('preview', Buffer.from([1, 2, 255]));
    check(first);
    first.close();
    const second = open(dir);
    check(second);
    second.ledger.add({ day: 20_000, purpose: 'off-peak', bytes: 1 });
    expect(second.ledger.bytesOn(20_000)['off-peak']).toBe(1501);
    // Numbers of rows that a crash lost are not given again.
    expect(second.choices.add(choice)).toBeGreaterThan(id + 50_000);
  });

  test('keep the furthest watch bucket of a day, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...WATCH_BUCKETS), { minLength: 1, maxLength: 6 }), (buckets) => {
        const state = open(freshDir());
        for (const bucket of buckets) state.watches.put({ day: 1, pseudonym: 'p', titleId: 't', bucket });
        const furthest = Math.max(...buckets.map((bucket) => WATCH_BUCKETS.indexOf(bucket)));
        expect(state.watches.since(0).map((row) => row.bucket)).toEqual([WATCH_BUCKETS[furthest]]);
        state.close();
      }),
      { numRuns: 8 },
    );
  });

  test('that are unsound cost no other row', () => {
    const state = open(freshDir());
    state.arms.put({ slot: 'preview', title: 'bad', arm: 'a', information: Number.NaN, response: 0, at: 1 });
    state.arms.put({ slot: 'preview', title: 'good', arm: 'a', information: 1, response: 0, at: 1 });
    expect(state.arms.all().map((row) => row.title)).toEqual(['good']);
    expect(state.stats()).toMatchObject({ written: 1, dropped: 1, errors: 0, pending: 0 });
  });

  test('are flushed by the timer', async () => {
    const dir = freshDir();
    const state = openState({ dir, flushMs: 5, log: () => undefined });
    opened.push(state);
    state.arms.put({ slot: 'preview', title: 't', arm: 'a', information: 1, response: 0, at: 1 });
    expect(state.stats().pending).toBe(1);
    await expect.poll(() => state.stats().written).toBe(1);
  });
});

describe('erasure and retention', () => {
  test('remove rows from the bytes of the file, the journal included', () => {
    const dir = freshDir();
    const state = open(dir);
    for (const pseudonym of ['pseudonym-of-ann', 'pseudonym-of-bob']) {
      for (const titleId of ['t1', 't2']) state.watches.put({ day: 5, pseudonym, titleId, bucket: 'most' });
    }
    state.flush();
    expect(bytesOf(dir)).toContain('pseudonym-of-ann');
    expect(state.watches.erase(['pseudonym-of-ann', 'nobody'])).toBe(2);
    expect(bytesOf(dir)).not.toContain('pseudonym-of-ann');
    expect(bytesOf(dir)).toContain('pseudonym-of-bob');
    expect(state.watches.since(0)).toHaveLength(2);
  });

  test('reach what has not been flushed yet', () => {
    const state = open(freshDir());
    state.watches.put({ day: 5, pseudonym: 'p', titleId: 't', bucket: 'most' });
    expect(state.watches.erase(['p'])).toBe(1);
    expect(state.watches.since(0)).toEqual([]);
  });

  test('purge what is older than its days, and an old damaged file', () => {
    const dir = freshDir();
    const state = open(dir);
    const now = 100 * 86_400_000 + 5;
    for (const day of [90, 92, 93, 100]) {
      state.watches.put({ day, pseudonym: `pseudonym-${day}`, titleId: 't', bucket: 'tried' });
      state.choices.add({
        ...{ day, slot: 'preview', titleId: 't', policy: 'default', chosen: 0 },
        ...{ arms: ['a'], propensities: [1], expected: [0] },
      });
      state.spent.add({ id: day, day, bit: 1 });
      state.ledger.add({ day, purpose: 'off-peak', bytes: 1 });
    }
    const aside = join(dir, 'state.sqlite.damaged');
    writeFileSync(aside, 'old');
    utimesSync(aside, 92 * 86_400, 92 * 86_400);
    state.purge({ now, watchDays: 7, logDays: 9 });
    expect(state.watches.since(0).map((row) => row.day)).toEqual([93, 100]);
    expect(state.choices.since(0).map((row) => row.day)).toEqual([92, 93, 100]);
    expect(bytesOf(dir)).not.toContain('pseudonym-92');
    expect(existsSync(aside)).toBe(false);
  });
});

describe('a file that is not right', () => {
  test.each<[name: string, damage: (file: string) => void]>([
    [
      'is no database',
      (file) => writeFileSync(file, 'this is no database at all, and long enough to be read'.repeat(99)),
    ],
    [
      'is damaged in its pages',
      (file) => {
        const bytes = readFileSync(file);
        bytes.fill(0xa5, 4096);
        writeFileSync(file, bytes);
      },
    ],
    ['is cut short', (file) => writeFileSync(file, readFileSync(file).subarray(0, 5000))],
  ])('%s: it is moved aside, told once, and an empty one begun', (_name, damage) => {
    const dir = freshDir();
    const before = open(dir);
    for (let i = 0; i < 500; i += 1) {
      before.arms.put({ slot: 'preview', title: `title-${i}`, arm: 'a', information: 1, response: 0, at: 1 });
    }
    before.close();
    damage(join(dir, 'state.sqlite'));
    const lines: Line[] = [];
    const after = open(dir, lines);
    expect(lines).toEqual([['warn', 'state.damaged']]);
    expect(after.stats().recoveries).toBe(1);
    expect(existsSync(join(dir, 'state.sqlite.damaged'))).toBe(true);
    after.arms.put({ slot: 'preview', title: 't', arm: 'a', information: 1, response: 0, at: 1 });
    after.close();
    expect(open(dir).arms.all()).toHaveLength(1);
  });

  test('was written by a later version: it is left alone', async () => {
    const dir = freshDir();
    open(dir).close();
    const { DatabaseSync } = await import('node:sqlite');
    const database = new DatabaseSync(join(dir, 'state.sqlite'));
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(() => open(dir)).toThrow(expect.objectContaining({ code: 'AGENT_STATE_NEWER' }));
    expect(readdirSync(dir)).not.toContain('state.sqlite.damaged');
  });

  test('lies in no directory: a coded error that names it', () => {
    const file = join(root, 'a-file');
    writeFileSync(file, '');
    expect(() => open(join(file, 'state'))).toThrow(AgentError);
    expect(() => open(join(file, 'state'))).toThrow(
      expect.objectContaining({ code: 'AGENT_STATE_UNUSABLE', message: expect.stringContaining(file) }),
    );
  });

  test('is held by another process: a coded error', async () => {
    const dir = freshDir();
    const child = spawn(process.execPath, [fileURLToPath(new URL('state-writer.ts', import.meta.url)), dir, '1']);
    await once(child.stdout, 'data');
    expect(() => open(dir)).toThrow(expect.objectContaining({ code: 'AGENT_STATE_UNUSABLE' }));
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(open(dir).arms.all()).toHaveLength(1);
  });
});

test('a kill in the middle of writing loses nothing that was flushed', async () => {
  const dir = freshDir();
  const child = spawn(process.execPath, [fileURLToPath(new URL('state-writer.ts', import.meta.url)), dir, '1000000']);
  let flushed = 0;
  for await (const chunk of child.stdout) {
    flushed = Number(String(chunk).trim().split('\n').at(-1));
    if (flushed > 300) break;
  }
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const state = open(dir);
  expect(state.stats().recoveries).toBe(0);
  expect(state.arms.all().length).toBeGreaterThanOrEqual(flushed);
});

test('days are UTC days, and buckets follow the ratio watched', () => {
  expect([dayOf(0), dayOf(86_399_999), dayOf(86_400_000)]).toEqual([0, 0, 1]);
  expect([0, 9.9, 10, 49.9, 50, 89.9, 90, 500].map((seconds) => watchBucket(seconds, 100))).toEqual([
    'tried',
    'tried',
    'part',
    'part',
    'most',
    'most',
    'whole',
    'whole',
  ]);
  expect(watchBucket(1800)).toBe('most');
});
