// bench:preview: how long a preview's playlist takes, cuts known and cuts new, against the goal of 20 ms at the 99th
// percentile. A title of two hours; a viewer with a history of eight titles.
import { openPreview, type PackageState } from '../../agent/preview/preview.ts';
import type { Title } from '../../encoder/contract.ts';
import { fakeBandit } from '../fake/bandit.ts';
import { makeTitle, published } from '../fake/title.ts';

const GOAL_MS = 20;
const ROUNDS = 2000;
const COLD_ROUNDS = 200;

let state = 1;
const next = () => {
  state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
  return state / 4_294_967_296;
};
const film = (id: string) =>
  makeTitle(
    id,
    Array.from({ length: 1800 }, () => ({
      seconds: 1 + 6 * next(),
      features: { spatial: next(), temporal: next(), luma: 0.1 + 0.8 * next(), saturation: next(), loudness: next() },
    })),
  );
const percentile = (sorted: readonly number[], ratio: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * ratio))] ?? Number.NaN;

const titles = new Map<string, Title>(Array.from({ length: 9 }, (_, n) => [`film-${n}`, film(`film-${n}`)]));
let isCold = false;
const preview = openPreview({
  packageOf: (id): PackageState | undefined => {
    const title = titles.get(id);
    if (title === undefined) return undefined;
    return { state: 'ready', ...published(isCold && id === 'film-0' ? { ...title } : title) };
  },
  sessionOf: () => ({
    watched: Array.from({ length: 8 }, (_, n) => ({ titleId: `film-${n + 1}`, watchedRatio: next() })),
  }),
  bandit: fakeBandit({ random: next }).bandit,
  deadlineMs: 1000,
});

async function measure(rounds: number): Promise<readonly number[]> {
  const { signal } = new AbortController();
  const times: number[] = [];
  for (let n = 0; n < rounds; n += 1) {
    const startedAt = performance.now();
    const { status, answer } = await preview.answer({ titleId: 'film-0', sid: 's', signal });
    times.push(performance.now() - startedAt);
    if (status !== 200 || answer !== 'personal') throw new Error(`answered ${status} ${answer}`);
  }
  return times.toSorted((a, b) => a - b);
}

await measure(200);
const known = await measure(ROUNDS);
isCold = true;
const cold = await measure(COLD_ROUNDS);
const figures = {
  preview_p50_ms: percentile(known, 0.5),
  preview_p99_ms: percentile(known, 0.99),
  preview_cold_p50_ms: percentile(cold, 0.5),
  preview_cold_p99_ms: percentile(cold, 0.99),
  goal_ms: GOAL_MS,
};
console.log('personal preview of a 2 h title      p50 ms    p99 ms    goal');
const row = (name: string, p50: number, p99: number) =>
  console.log(`${name.padEnd(34)}${p50.toFixed(2).padStart(9)}${p99.toFixed(2).padStart(10)}    ${GOAL_MS} ms`);
row('cuts known', figures.preview_p50_ms, figures.preview_p99_ms);
row('cuts chosen anew', figures.preview_cold_p50_ms, figures.preview_cold_p99_ms);
console.log(JSON.stringify(figures));
