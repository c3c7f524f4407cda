// The schema of beacons: what is taken, what is left out, what is refused, and that nothing else is kept.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { believedTime, isSid, isTitleId, type ParsedEvents, parseEvents } from '../../../agent/telemetry/event.ts';

const NOW = 1_795_000_000_000;
const good = { at: NOW - 10, type: 'play', title: 't1' };
const batch = { version: 1, sid: 's-1', consent: 'personal', events: [good] };
const parse = (value: unknown): ParsedEvents => parseEvents(Buffer.from(JSON.stringify(value)), NOW);

/** Code of a refusal, or how many events were taken and left out. */
function verdict(parsed: ParsedEvents): unknown {
  return parsed.ok ? [parsed.batch.events.length, parsed.batch.invalid] : parsed.code;
}

describe('a beacon', () => {
  test('is taken with every key of the contract', () => {
    const event = {
      ...good,
      positionSeconds: 12.5,
      rate: 2,
      orientation: 'landscape',
      dwellBucket: '1-3',
      rewardToken: 'x.y.z',
    };
    expect(parse({ ...batch, viewerToken: 'a.b.c', events: [event] })).toEqual({
      ok: true,
      batch: { sid: 's-1', consent: 'personal', viewerToken: 'a.b.c', events: [event], invalid: 0 },
    });
  });

  test('keeps no key that is not in the schema, biometric or other', () => {
    const leaky = { ...good, camera: 'frame', heartRate: 80, motion: [1, 2, 3], address: '203.0.113.9' };
    const parsed = parse({ ...batch, userAgent: 'x', events: [leaky] });
    expect(parsed).toEqual({ ok: true, batch: { sid: 's-1', consent: 'personal', events: [good], invalid: 0 } });
  });

  test.each<[name: string, value: unknown, expected: unknown]>([
    ['no events', { ...batch, events: [] }, [0, 0]],
    ['64 events', { ...batch, events: Array(64).fill({ at: NOW, type: 'hover', title: 't' }) }, [64, 0]],
    ['65 events', { ...batch, events: Array(65).fill({ at: NOW, type: 'hover', title: 't' }) }, 'EVENTS_TOO_LARGE'],
    ['another version', { ...batch, version: 2 }, 'EVENTS_VERSION'],
    ['no version', { ...batch, version: undefined }, 'EVENTS_VERSION'],
    ['a list', [batch], 'EVENTS_INVALID'],
    ['null', null, 'EVENTS_INVALID'],
    ['no session', { ...batch, sid: '' }, 'EVENTS_INVALID'],
    ['a session with a line break', { ...batch, sid: 'a\nb' }, 'EVENTS_INVALID'],
    ['no consent', { ...batch, consent: undefined }, 'EVENTS_INVALID'],
    ['consent that is none of the two', { ...batch, consent: 'yes' }, 'EVENTS_INVALID'],
    ['a token that is too long', { ...batch, viewerToken: 'x'.repeat(1025) }, 'EVENTS_INVALID'],
    ['events that are no list', { ...batch, events: { 0: good } }, 'EVENTS_INVALID'],
    ['one bad event among good ones', { ...batch, events: [good, { ...good, type: 'dance' }] }, [1, 1]],
    ['bad events alone', { ...batch, events: [null, 7, {}] }, 'EVENTS_INVALID'],
  ])('%s', (_name, value, expected) => {
    expect(verdict(parse(value))).toEqual(expected);
  });

  test.each<[name: string, body: Buffer, code: string]>([
    ['16 KiB and a byte', Buffer.alloc(16 * 1024 + 1, ' '), 'EVENTS_TOO_LARGE'],
    ['empty', Buffer.alloc(0), 'EVENTS_NOT_JSON'],
    ['half a JSON', Buffer.from('{"version":1,'), 'EVENTS_NOT_JSON'],
    ['bad UTF-8 inside a string', Buffer.from('{"version":1,"sid":"\xff"}', 'latin1'), 'EVENTS_NOT_JSON'],
  ])('a body that is %s', (_name, body, code) => {
    expect(verdict(parseEvents(body, NOW))).toBe(code);
  });
});

describe('an event', () => {
  test.each<[key: string, value: unknown]>([
    ['at', 'now'],
    ['at', -1],
    ['at', NOW + 90_000_000],
    ['at', NOW - 90_000_000],
    ['type', 'PLAY'],
    ['title', '../../etc/passwd'],
    ['title', 'a/b'],
    ['title', '.hidden'],
    ['title', 'x'.repeat(129)],
    ['title', 7],
    ['positionSeconds', -0.5],
    ['positionSeconds', 1e9],
    ['positionSeconds', '12'],
    ['rate', 17],
    ['orientation', 'upside-down'],
    ['dwellBucket', 1234],
    ['rewardToken', {}],
    ['rewardToken', ''],
  ])('with a bad %s (%j) is left out', (key, value) => {
    expect(verdict(parse({ ...batch, events: [good, { ...good, [key]: value }] }))).toEqual([1, 1]);
  });

  test.each([
    ['the future', NOW + 60_000, NOW],
    ['now', NOW, NOW],
    ['a minute ago', NOW - 60_000, NOW - 60_000],
    ['hours ago', NOW - 7 * 3_600_000, NOW - 3_600_000],
    ['not a number', Number.NaN, undefined],
    ['a string', '1', undefined],
  ])('at %s is believed to be then', (_name, at, expected) => {
    expect(believedTime(at, NOW)).toBe(expected);
  });
});

test('ids are bounded and never paths', () => {
  expect([isSid('a'.repeat(128)), isSid('a'.repeat(129)), isSid('a b'), isSid('é'), isSid(undefined)]).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
  fc.assert(
    fc.property(fc.string(), (text) => {
      if (isTitleId(text)) expect(text).not.toMatch(/[/\\%\s]|^\./);
    }),
  );
});

test('any bytes and any JSON are taken or refused, never an exception, and what is kept is in bounds', () => {
  const event = fc.record(
    { at: fc.anything(), type: fc.constantFrom('play', 'hover', 'x'), title: fc.oneof(fc.string(), fc.constant('t')) },
    { requiredKeys: [] },
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({ version: fc.constant(1), sid: fc.string(), consent: fc.constant('none'), events: fc.array(event) }),
  );
  const body = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    value.map((it) => Buffer.from(JSON.stringify(it))),
  );
  fc.assert(
    fc.property(body, (bytes) => {
      const parsed = parseEvents(bytes, NOW);
      if (!parsed.ok) return;
      expect(parsed.batch.events.length + parsed.batch.invalid).toBeLessThanOrEqual(64);
      for (const { at, title } of parsed.batch.events) {
        expect(at).toBeLessThanOrEqual(NOW);
        expect(isTitleId(title)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
