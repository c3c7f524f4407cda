// Snapshots of this version are read, and nothing else.
import { expect, test } from 'vitest';
import { readSnapshot } from '../../agent/snapshot.ts';

test('the fields of a snapshot of this version', () => {
  expect(readSnapshot('{"version":2,"day":7,"none":null}', 2)).toEqual({ version: 2, day: 7, none: null });
});

test.each([undefined, '', '{', 'null', '7', '[]', '{}', '{"version":1}', '{"version":"2"}'])(
  'what is none, of another version or cannot be read: %s',
  (json) => {
    expect(readSnapshot(json, 2)).toBeUndefined();
  },
);
