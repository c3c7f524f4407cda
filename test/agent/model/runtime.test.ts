// The model process under every fault that can be made: it is killed, stopped, hangs, lies, is cut short; whoever asks
// has an answer or undefined within the deadline, and service comes back by itself.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { faultOf } from '../../../agent/model/guard.ts';
import { openRuntime } from '../../../agent/model/runtime.ts';
import type { ModelRuntime, RuntimeOptions } from '../../../agent/model/runtime-contract.ts';
import { DEFAULT_RESTART, restartPause } from '../../../agent/model/supervise.ts';
import { constant, infinite, lateNan, looping, nan, rowsOf, slow, stored, summing, tooMany } from './crafted.ts';

let dir = '';
const open = new Set<ModelRuntime>();
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nearcast-model-'));
});
afterEach(async () => {
  await Promise.all([...open].map((runtime) => runtime.close()));
  open.clear();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

type Event = { readonly event: string; readonly fields: Readonly<Record<string, unknown>> };

/** A runtime with its log; `heard(event)` resolves once that event was logged (again). */
function start(options: Partial<RuntimeOptions> = {}) {
  const events: Event[] = [];
  const listeners = new Set<() => void>();
  const runtime = openRuntime({
    deadlineMs: 100,
    restart: { ...DEFAULT_RESTART, firstPauseMs: 10 },
    ...options,
    log: (_, event, fields) => {
      events.push({ event, fields });
      for (const listener of listeners) listener();
    },
  });
  open.add(runtime);
  const heard = (event: string, times = 1): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (events.filter((one) => one.event === event).length < times) return;
        listeners.delete(check);
        resolve();
      };
      listeners.add(check);
      check();
    });
  return { runtime, events, heard };
}

/** Asks, and checks that the answer took no longer than the deadline and what a busy machine adds to a timer. */
async function inTime(runtime: ModelRuntime, rows: Float32Array) {
  const askedAt = performance.now();
  const scores = await runtime.score(rows, rows.length / 3);
  expect(performance.now() - askedAt).toBeLessThan(100 + 150);
  return scores;
}

/** The first score of `sum`, asked until it comes: a busy machine may be late once, a broken runtime always is. */
async function scoreOf(runtime: ModelRuntime, sum: number): Promise<number | undefined> {
  for (let time = 0; time < 50; time += 1) {
    const answer = await runtime.score(rowsOf(sum), 1);
    if (answer !== undefined) return answer.scores[0];
    await new Promise((resolve) => setImmediate(resolve));
  }
  return undefined;
}

const pidOf = (runtime: ModelRuntime): number => {
  const { pid } = runtime.stats();
  if (pid === undefined) throw new Error('no process');
  return pid;
};

describe('a sound model', () => {
  test('answers with its version, one score a row, whatever order questions end in', async () => {
    const { runtime } = start({ deadlineMs: 5_000 });
    const model = await stored(dir, summing);
    expect(await runtime.load(model)).toBe('ready');
    const answers = await Promise.all(
      [rowsOf(1, 2, 3), rowsOf(4), rowsOf(5, 5)].map((rows) => runtime.score(rows, rows.length / 3)),
    );
    expect(answers.map((answer) => [...(answer?.scores ?? [])])).toEqual([[1, 2, 3], [4], [5, 5]]);
    expect(answers[0]).toMatchObject({ by: 'model', version: model.modelVersion });
    expect(runtime.stats()).toMatchObject({ state: 'ready', crashes: 0, late: 0 });
  });

  test('without one, after close, or with no rows: undefined at once', async () => {
    const { runtime } = start();
    expect(await inTime(runtime, rowsOf(1))).toBeUndefined();
    expect(await runtime.load(undefined)).toBe('idle');
    await runtime.load(await stored(dir, summing));
    expect(await inTime(runtime, rowsOf())).toBeUndefined();
    await runtime.close();
    expect(await inTime(runtime, rowsOf(1))).toBeUndefined();
    expect(await runtime.load(await stored(dir, summing))).toBe('closed');
  });

  test('rows of another width are a programmer error', async () => {
    const { runtime } = start();
    await runtime.load(await stored(dir, summing));
    expect(() => runtime.score(new Float32Array(4), 1)).toThrow(/\[rows, width\]/);
  });

  test('questions beyond the limit are turned away at once', async () => {
    const { runtime } = start({ maxPending: 2, deadlineMs: 5_000 });
    await runtime.load(await stored(dir, summing));
    const answers = await Promise.all([1, 2, 3, 4].map((sum) => runtime.score(rowsOf(sum), 1)));
    expect(answers.map((answer) => answer?.scores[0])).toEqual([1, 2, undefined, undefined]);
    expect(runtime.stats().refused).toBe(2);
  });
});

describe('a process that ends', () => {
  test('kill -9 in the middle of a question: undefined in time, and the next process answers', async () => {
    const { runtime, heard } = start();
    await runtime.load(await stored(dir, summing));
    const first = pidOf(runtime);
    process.kill(first, 'SIGSTOP');
    const asked = inTime(runtime, rowsOf(1));
    process.kill(first, 'SIGKILL');
    expect(await asked).toBeUndefined();
    await heard('model.ready', 2);
    expect(pidOf(runtime)).not.toBe(first);
    expect(await scoreOf(runtime, 7)).toBe(7);
    expect(runtime.stats().crashes).toBe(1);
  });

  test('stopped for good: every answer in time, killed as hung, back by itself', async () => {
    const { runtime, events, heard } = start({ hangMs: 400 });
    await runtime.load(await stored(dir, summing));
    process.kill(pidOf(runtime), 'SIGSTOP');
    expect(await inTime(runtime, rowsOf(1))).toBeUndefined();
    // The late one shows that the process does not keep up; the next is not even asked, unless so late that it has a try.
    expect(await inTime(runtime, rowsOf(2))).toBeUndefined();
    const { late, refused } = runtime.stats();
    expect([late >= 1, late + refused]).toEqual([true, 2]);
    await heard('model.ready', 2);
    expect(events.find(({ event }) => event === 'model.killed')?.fields).toMatchObject({ reason: 'hang' });
    expect(await scoreOf(runtime, 3)).toBe(3);
  });

  test('stopped while nobody asks: the ping finds out', async () => {
    const { runtime, heard } = start({ hangMs: 200, pingEveryMs: 50 });
    await runtime.load(await stored(dir, summing));
    process.kill(pidOf(runtime), 'SIGSTOP');
    await heard('model.ready', 2);
    expect(runtime.stats().state).toBe('ready');
  });

  test('above its memory: killed', async () => {
    const { runtime, events, heard } = start({ maxRssBytes: 1024, pingEveryMs: 20 });
    await runtime.load(await stored(dir, summing));
    await heard('model.ended');
    expect(events.find(({ event }) => event === 'model.killed')?.fields).toMatchObject({ reason: 'memory' });
  });

  test('again and again without an answer between: left alone for the cool-down', async () => {
    const { runtime, events, heard } = start({ restart: { ...DEFAULT_RESTART, firstPauseMs: 1, crashBudget: 2 } });
    await runtime.load(await stored(dir, summing));
    process.kill(pidOf(runtime), 'SIGKILL');
    await heard('model.ready', 2);
    process.kill(pidOf(runtime), 'SIGKILL');
    await heard('model.ended', 2);
    expect(events.at(-1)?.fields).toMatchObject({ pauseMs: DEFAULT_RESTART.coolDownMs });
    expect(await inTime(runtime, rowsOf(1))).toBeUndefined();
    // A new model starts a new count.
    expect(await runtime.load(await stored(dir, summing))).toBe('ready');
  });

  test('its parent dies: it dies too', async () => {
    const parent = fork(new URL('./orphan-parent.ts', import.meta.url), [dir], { execPath: process.execPath });
    const [pid] = await once(parent, 'message');
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    const isGone = (): boolean => {
      try {
        return !process.kill(pid, 0);
      } catch {
        return true;
      }
    };
    await expect.poll(isGone, { timeout: 5_000 }).toBe(true);
  });
});

describe('a model that hangs', () => {
  test('on a real question: undefined in time, killed, back, and again', async () => {
    const { runtime, heard } = start({ hangMs: 400 });
    expect(await runtime.load(await stored(dir, looping))).toBe('ready');
    for (const time of [1, 2]) {
      expect(await scoreOf(runtime, 5)).toBe(5);
      expect(await inTime(runtime, rowsOf(2000))).toBeUndefined();
      await heard('model.ready', time + 1);
    }
    expect(runtime.stats().crashes).toBe(2);
  });
});

describe('a model that is always late', () => {
  test('is given up, with the reason; one that is in time now and then is not', async () => {
    const disabled: [string, string][] = [];
    // A deadline that no answer can meet, and one that each does.
    const { runtime } = start({ deadlineMs: 0, lateForMs: 20, onDisabled: (...told) => disabled.push(told) });
    const model = await stored(dir, slow);
    expect(await runtime.load(model)).toBe('ready');
    const asked = new Set<Promise<unknown>>();
    while (runtime.stats().state === 'ready') {
      asked.add(runtime.score(rowsOf(1), 1));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(disabled).toEqual([[model.modelVersion, 'late']]);
    // The one answer is that of the trial before it served.
    expect(runtime.stats()).toMatchObject({ state: 'disabled', answered: 1 });
    expect(runtime.stats().late).toBeGreaterThan(100);
    expect(new Set(await Promise.all(asked))).toEqual(new Set([undefined]));

    const other = start({ deadlineMs: 5_000, lateForMs: 0 });
    await other.runtime.load(await stored(dir, summing));
    for (let time = 0; time < 150; time += 1) await other.runtime.score(rowsOf(1), 1);
    expect(other.runtime.stats()).toMatchObject({ state: 'ready', answered: 151, late: 0 });
  });
});

describe('the output guard', () => {
  test.each([
    ['NaN', nan, 'not-finite'],
    ['Infinity', infinite, 'not-finite'],
    ['two scores a row', tooMany, 'wrong-shape'],
    ['the same score for all', constant, 'constant'],
  ] as const)('a model that answers %s never serves', async (_, bytes, fault) => {
    const disabled: [string, string][] = [];
    const { runtime } = start({ onDisabled: (...told) => disabled.push(told) });
    const model = await stored(dir, bytes);
    expect(await runtime.load(model)).toBe('disabled');
    expect(disabled).toEqual([[model.modelVersion, fault]]);
    expect(runtime.stats().faults[fault]).toBe(1);
    expect(await inTime(runtime, rowsOf(1, 2))).toBeUndefined();
  });

  test('one that goes wrong later is disabled then, and another may follow', async () => {
    const { runtime, heard } = start();
    expect(await runtime.load(await stored(dir, lateNan))).toBe('ready');
    expect(await scoreOf(runtime, 2)).toBe(2);
    expect(await inTime(runtime, rowsOf(1, 2000))).toBeUndefined();
    await heard('model.disabled');
    expect(runtime.stats()).toMatchObject({ state: 'disabled', pid: undefined, crashes: 0 });
    expect(await runtime.load(await stored(dir, summing))).toBe('ready');
  });

  test.each([
    ['right', [1, 2, 3, 4], [4], undefined],
    ['constant for rows that differ', [5, 5, 5, 5], [4], 'constant'],
    ['one missing', [1, 2, 3], [3], 'wrong-shape'],
    ['a column', [1, 2, 3, 4], [4, 1], 'wrong-shape'],
    ['-Infinity', [1, 2, 3, -Infinity], [4], 'not-finite'],
  ] as const)('%s', (_, scores, dims, fault) => {
    expect(faultOf({ scores: Float32Array.from(scores), dims }, rowsOf(1, 2, 3, 4), 4)).toBe(fault);
  });

  test('equal scores of rows that are alike, or of few rows, are no fault', () => {
    expect(faultOf({ scores: new Float32Array(4), dims: [4] }, rowsOf(1, 1, 1, 2), 4)).toBeUndefined();
    expect(faultOf({ scores: new Float32Array(3), dims: [3] }, rowsOf(1, 2, 3), 3)).toBeUndefined();
  });
});

describe('a file that is not the model', () => {
  test('missing', async () => {
    const { runtime, events } = start();
    const model = await stored(dir, summing);
    expect(await runtime.load({ ...model, scorer: { ...model.scorer, path: join(dir, 'none.onnx') } })).toBe(
      'disabled',
    );
    expect(events.at(-1)?.fields).toMatchObject({ reason: 'missing' });
  });

  test('cut short', async () => {
    const model = await stored(dir, lateNan);
    await truncate(model.scorer.path, 40);
    const { runtime, events } = start();
    expect(await runtime.load(model)).toBe('disabled');
    expect(events.at(-1)?.fields).toMatchObject({ reason: 'wrong-hash' });
    await writeFile(model.scorer.path, lateNan);
  });

  test('no ONNX at all, though its hash is right', async () => {
    const { runtime, events } = start();
    expect(await runtime.load(await stored(dir, Buffer.from('<html>not found</html>')))).toBe('disabled');
    expect(events.at(-1)?.fields).toMatchObject({ reason: 'unreadable' });
  });

  test('of other inputs than the features', async () => {
    const { runtime, events } = start();
    const model = { ...(await stored(dir, summing)), features: ['only one'] };
    expect(await runtime.load(model)).toBe('disabled');
    expect(events.at(-1)?.fields).toMatchObject({ reason: 'wrong-inputs' });
  });
});

test('pauses before restarts double up to a limit, then cool down', () => {
  const policy = { firstPauseMs: 100, maxPauseMs: 500, crashBudget: 5, coolDownMs: 9_000 };
  expect([1, 2, 3, 4, 5, 6].map((crashes) => restartPause(crashes, policy))).toEqual([
    100, 200, 400, 500, 9_000, 9_000,
  ]);
});
