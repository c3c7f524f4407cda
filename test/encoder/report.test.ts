// The report of a title: its figures, and a page that is whole by itself whatever a title is called.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bits, clock, linearScale, logScale, stepPath } from '../../encoder/report/chart.ts';
import { type ReportFacts, type ReportTrial, summarise } from '../../encoder/report/facts.ts';
import { escapeHtml } from '../../encoder/report/html.ts';
import { writePage } from '../../encoder/report/page.ts';
import { makeTitle } from '../fake/title.ts';

/** Three renditions of two shots, the second in two parts, and trials of which some ship. */
function facts(more: Partial<ReportTrial> = {}): ReportFacts {
  const parts = [
    { shot: 0, startSeconds: 0, durationSeconds: 2 },
    { shot: 1, startSeconds: 2, durationSeconds: 4 },
    { shot: 1, startSeconds: 6, durationSeconds: 4 },
  ];
  const title = makeTitle('t', [{ seconds: 2 }, { seconds: 8 }]);
  const trials = parts.flatMap((_, part) =>
    ['v720', 'v540', 'v360', ''].map((id, at): ReportTrial => {
      const scores = { mean: 90 - 10 * at, harmonicMean: 89 - 10 * at, p5: 80 - 10 * at - part };
      const rest = { part, kind: 'h264-sdr', height: 720 - 180 * at, crf: 20 + 5 * at, bitrateBps: 4e6 / 2 ** at };
      return { ...rest, ...scores, renditions: id === '' ? [] : [id], ...more };
    }),
  );
  return { title, parts, trials };
}

describe('figures', () => {
  test('of a rendition are those of the trials that it ships, by their length', () => {
    const [best] = summarise(facts()).renditions;
    expect(best).toMatchObject({ id: 'v720', kind: 'h264-sdr', mean: 90, p5: 78 });
    expect(best?.harmonicMean).toBeCloseTo(89, 9);
    expect(best?.timeline.map(({ part, bitrateBps }) => [part, bitrateBps])).toEqual([
      [0, 4e6],
      [1, 4e6],
      [2, 4e6],
    ]);
    expect(best).not.toHaveProperty('neg');
    expect(summarise(facts({ neg: 71 })).renditions[0]?.neg).toBeCloseTo(71, 9);
  });

  test.each([
    [950, '1 k'],
    [365_000, '365 k'],
    [999_600, '1.0 M'],
    [12_400_000, '12 M'],
  ])('%d bit/s: %s', (value, text) => expect(bits(value)).toBe(text));

  test.each([
    [0, '0:00'],
    [59.6, '1:00'],
    [3661, '1:01:01'],
  ])('%d s: %s', (seconds, text) => expect(clock(seconds)).toBe(text));
});

describe('scales', () => {
  test('ticks are within, round, and few', () => {
    const span = fc.record({
      low: fc.double({ min: 1, max: 1e6, noNaN: true }),
      width: fc.double({ min: 0.01, max: 1e6, noNaN: true }),
    });
    fc.assert(
      fc.property(span, ({ low, width }) => {
        const high = low + width;
        for (const scale of [
          linearScale({ low, high, from: 0, to: 100 }, 6),
          logScale({ low, high, from: 0, to: 100 }, 9),
        ]) {
          expect(scale.ticks.length).toBeLessThanOrEqual(13);
          for (const tick of scale.ticks) {
            expect(scale.of(tick)).toBeGreaterThanOrEqual(-1e-6);
            expect(scale.of(tick)).toBeLessThanOrEqual(100 + 1e-6);
          }
        }
      }),
    );
  });

  test('a line breaks where stretches do not touch', () => {
    const scale = linearScale({ low: 0, high: 10, from: 0, to: 10 }, 5);
    const steps = [
      { from: 0, to: 1, value: 5 },
      { from: 1, to: 2, value: 6 },
      { from: 4, to: 5, value: 7 },
    ];
    expect(stepPath(steps, scale, scale)).toBe('M0 5H1V6H2M4 7H5');
  });
});

describe('the page', () => {
  const page = (more: Partial<ReportTrial> = {}, name = 'A title') => {
    const report = facts(more);
    return writePage(summarise({ ...report, title: { ...report.title, name } }));
  };

  test('shows every part with all its trials, and what ships', () => {
    const html = page();
    expect(html.match(/<svg viewBox="0 0 260 190"/g)).toHaveLength(3);
    expect(html.match(/<g><title>/g)).toHaveLength(12);
    expect(html.match(/class="ring" cx="[\d.]+" cy="[\d.]+" r="6"/g)).toHaveLength(9);
    expect(html).toContain('Shot 2, from 0:06');
    expect(html).not.toContain('NEG mean');
    expect(page({ neg: 71 })).toContain('NEG mean');
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('loads nothing and runs nothing, whatever the title is called', () => {
    const html = page({}, `</title><script>alert(1)</script><img src=x onerror='a()'>"`);
    expect(html).not.toMatch(/<script|<img|onerror='|<link|url\(|@import/i);
    expect(html.match(/(?:src|href)="[^"]*"/g)).toEqual(['href="report.json"']);
    expect(html).toContain(`default-src &#39;none&#39;`);
  });

  test('every element that is opened is closed, and every id is there once', () => {
    const html = page({ neg: 1 });
    const open: string[] = [];
    for (const [, closing, name = '', empty] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/g)) {
      if (/^(?:meta|path|circle|rect)$/.test(name) || empty === '/') continue;
      if (closing === '') open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const named = [...html.matchAll(/aria-labelledby="([^"]+)"/g)].flatMap(([, names = '']) => names.split(' '));
    expect(named.filter((name) => !ids.includes(name))).toEqual([]);
  });

  test('of a film stays small: the plots are bounded, and it says where the rest is', () => {
    const one = facts();
    const count = 2000;
    const parts = Array.from({ length: count }, (_, shot) => ({ shot, startSeconds: shot * 4, durationSeconds: 4 }));
    const trials = parts.flatMap((_, part) => one.trials.slice(0, 4).map((trial) => ({ ...trial, part })));
    const title = { ...one.title, durationSeconds: 4 * count };
    const html = writePage(summarise({ title, parts, trials }));
    expect(html).toContain('1760 more are in report.json');
    expect(html.length).toBeLessThan(2_000_000);
  });

  test('says so when nothing can be compared', () => {
    const report = facts();
    const savings = { referenceBps: 0, cap: 0, pruning: 0, allocation: 0 };
    const html = writePage(summarise({ ...report, title: { ...report.title, savings } }));
    expect(html).toContain('nothing can be compared');
    expect(html).toContain('not known');
  });

  test('escapes what is written into it', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const escaped = escapeHtml(text);
        expect(escaped).not.toMatch(/[<>"']/);
        const plain = escaped
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&quot;', '"')
          .replaceAll('&#39;', "'")
          .replaceAll('&amp;', '&');
        expect(plain).toBe(text);
      }),
    );
  });
});
