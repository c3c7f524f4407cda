// The small grammars of nearcast.yaml's values: sizes, addresses, cron expressions, and words that were meant.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  editDistance,
  nearestOf,
  parseAddress,
  parseCron,
  parseSize,
  shortestGapMinutes,
} from '../../agent/config-check.ts';

describe('values', () => {
  test.each([
    ['0', 0],
    ['1024', 1024],
    ['1KiB', 1024],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['2TiB', 2 ** 41],
    ['256MB', undefined],
    ['-1', undefined],
    ['9999999999TiB', undefined],
    ['', undefined],
  ])('size %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['edge.example:0', { host: 'edge.example', port: 0 }],
    ['::1:80', undefined],
    ['a:65536', undefined],
    [':80', undefined],
    ['a b:80', undefined],
  ])('address %s', (text, expected) => {
    expect(parseAddress(text)).toEqual(expected);
  });

  test.each([
    ['0 2 * * *', [120]],
    ['30 1,3 * * mon-fri', [90, 210]],
    ['0 0 22-2/2 * * ?', [0, 120, 1320]],
    ['*/30 12 L * *', [720, 750]],
    ['0 4 * jan,DEC sunday', [240]],
    ['0 4 * * 5#2', [240]],
  ])('cron %s starts at these minutes of the day', (text, minutesOfDay) => {
    expect(parseCron(text)).toEqual({ ok: true, minutesOfDay });
  });

  test.each([
    '',
    '* * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '*/0 * * * *',
    'a * * * *',
  ])('cron "%s" is refused', (text) => {
    expect(parseCron(text).ok).toBe(false);
  });

  test('the shortest gap between starts goes over midnight', () => {
    expect(shortestGapMinutes([10])).toBe(1440);
    expect(shortestGapMinutes([60, 1380])).toBe(120);
  });

  test('edit distance is a metric and the nearest word is the nearest', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(nearestOf('Prefech', ['preview', 'predict', 'prefetch'])).toBe('prefetch');
    expect(nearestOf('x', [])).toBeUndefined();
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
  });

  test('any text is a size, an address and a cron expression or not, never an exception', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseSize(text);
        parseAddress(text);
        parseCron(text);
      }),
    );
  });
});
