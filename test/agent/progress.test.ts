// Progress for people and for logs, and the numbers that status prints.
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openProgress, renderBar } from '../../agent/commands/progress.ts';
import { formatBytes, formatSeconds, renderStatus } from '../../agent/commands/status-text.ts';

describe('the bar', () => {
  test.each([
    [0, 0],
    [1, 28],
    [0.5, 14],
    [-3, 0],
    [7, 28],
  ])('at %d has %d full cells', (ratio, cells) => {
    expect([...renderBar(ratio)].filter((cell) => cell === '█')).toHaveLength(cells);
  });

  test('is always 28 cells wide', () => {
    fc.assert(fc.property(fc.double({ noNaN: true }), (ratio) => [...renderBar(ratio)].length === 28));
  });
});

describe('off a terminal', () => {
  test('each step gives JSON lines, at most eleven of them', () => {
    const output = new PassThrough();
    const progress = openProgress(output);
    for (let i = 0; i <= 1000; i += 1) progress.show({ id: 'a', name: 'A', step: 'trial', ratio: i / 1000 });
    const lines = String(output.read())
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(lines).toHaveLength(11);
    expect(lines[0]).toEqual({ event: 'encode.progress', id: 'a', name: 'A', step: 'trial', progressRatio: 0 });
  });

  test('said lines carry their event', () => {
    const output = new PassThrough();
    openProgress(output).say('demo.ready', 'for people', { url: 'http://x/' });
    expect(JSON.parse(String(output.read()))).toEqual({ event: 'demo.ready', url: 'http://x/' });
  });
});

describe('status', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [20 * 2 ** 30, '20 GiB'],
    [5 * 2 ** 50, '5120 TiB'],
  ])('formats %d bytes as %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [59, '59 s'],
    [61, '1 min 1 s'],
    [3725, '1 h 2 min'],
    [90_000, '1 d 1 h'],
  ])('formats %d seconds as %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));

  test('renders an answer that lacks everything', () => {
    fc.assert(fc.property(fc.anything(), (status) => renderStatus(status).includes('hit ratio')));
  });

  test('shows running and failed jobs', () => {
    const text = renderStatus({
      encodes: [
        { id: 'a', state: 'running', step: 'trial', progressRatio: 0.42 },
        { id: 'b', state: 'failed', failure: { code: 'ENCODER_INPUT_CORRUPT' } },
      ],
    });
    expect(text).toMatch(/a\s+running\s+trial 42 %/);
    expect(text).toMatch(/b\s+failed\s+ENCODER_INPUT_CORRUPT/);
  });

  test('shows the servers of each origin and how they are', () => {
    const server = (name: string, isUp: boolean, breaker: string) => ({
      ...{ server: name, isUp, breaker },
      ...{ requests: 9, failures: 2 },
    });
    const servers = [
      server('a.example', false, 'open'),
      server('b.example', true, 'recovering'),
      server('c.example', true, 'closed'),
    ];
    const text = renderStatus({
      origins: [
        { origin: 'site', servers },
        { origin: 'odd', servers: 'none' },
      ],
    });
    expect(text).toMatch(/site {2}a\.example +DOWN \(breaker open\), 9 requests, 2 failed\n/);
    expect(text).toMatch(/site {2}b\.example +recovering, 9 requests/);
    expect(text).toMatch(/site {2}c\.example +up, 9 requests/);
    expect(text).not.toContain('odd');
  });
});
