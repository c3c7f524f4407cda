// The title id that `nearcast encode` makes of a file name.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idFrom } from '../../agent/commands/encode.ts';
import { latestSchema } from '../../encoder/contract.ts';

describe('idFrom', () => {
  test.each([
    ['film.mp4', 'film'],
    ['/srv/in/The Film (2019) [1080p].mkv', 'the-film-2019-1080p'],
    ['Übergrößen.mov', 'bergr-en'],
    ['..mp4', 'title'],
    ['電影.mp4', 'title'],
    ['a.b.c.mp4', 'a.b.c'],
    [`${'x'.repeat(300)}.mp4`, 'x'.repeat(128)],
  ])('%s -> %s', (file, id) => expect(idFrom(file)).toBe(id));

  test('is always an id that the contract takes, and its own id again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        const id = idFrom(`${name}.mp4`);
        latestSchema.parse({ version: 1, id, hash: '' });
        return idFrom(`${id}.mp4`) === id;
      }),
    );
  });
});
