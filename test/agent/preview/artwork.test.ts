// Artwork: a variant for a viewer's taste, in every width, within the time.
import { describe, expect, test } from 'vitest';
import { chooseArtwork, openVariants, pictureFor, srcsetOf } from '../../../agent/preview/artwork.ts';
import { openBudget } from '../../../agent/preview/budget.ts';
import { openDecider, type PackageState } from '../../../agent/preview/decide.ts';
import { parseSidecar } from '../../../agent/preview/sidecar.ts';
import { openFakeChooser } from '../../fake/chooser.ts';
import { makeTitle, makeVariedTitle, published } from '../../fake/title.ts';

const never = () => new Promise<never>(() => undefined);
const still = (shot: number) => ({
  ...{ id: `shot-${shot}`, shot, seconds: shot },
  files: [640, 320].map((width) => ({ url: `artwork/${shot}-${width}.jpg`, width, height: width / 2, bytes: 9 })),
});
const made = makeVariedTitle('film');
const title = { ...made, images: { poster: 'poster.jpg', artwork: [still(3), still(9)] } };
const wild = makeTitle('wild', [{ seconds: 9, features: { temporal: 1 } }]);

function open(film: PackageState, sessionOf = (): unknown => undefined) {
  const bandit = openFakeChooser();
  const packages: Record<string, PackageState> = {
    film,
    wild: { state: 'ready', ...published(wild) },
    soon: { state: 'pending' },
    slow: { state: 'pending' },
  };
  const decider = openDecider(
    {
      packageOf: (id) => (id === 'slow' ? never() : packages[id]),
      sessionOf: (sid) =>
        sid === 'late'
          ? never()
          : sessionOf() === undefined
            ? undefined
            : { watched: [{ titleId: 'wild', watchedRatio: 1 }] },
      bandit,
    },
    () => undefined,
  );
  const imagesOf = (id: string) =>
    id === 'foreign' ? { wide: 'https://cdn.example/w.jpg', poster: '/p.jpg', bad: 'javascript:1' } : undefined;
  const options = { decider, bandit, imagesOf, variantsOf: openVariants() };
  const ask = (titleId: string, sid?: string, deadlineMs = 2000) =>
    chooseArtwork(options, { titleId, sid }, openBudget(deadlineMs, new AbortController().signal));
  return { ask, bandit };
}
const ready: PackageState = { state: 'ready', ...published(title) };

describe('artwork', () => {
  test('the poster is the first of the arms; another is chosen by taste, and says why', async () => {
    const { ask, bandit } = open(ready, () => true);
    bandit.pick = 2;
    const chosen = await ask('film', 's');
    expect(chosen).toMatchObject({ answer: 'personal', reason: 'chosen', variant: { id: 'shot-9' } });
    expect(bandit.asked[0]).toMatchObject({ slot: 'artwork', titleId: 'film' });
    expect(bandit.asked[0]?.arms.map(({ id }) => id)).toEqual(['poster', 'shot-3', 'shot-9']);
    if (!('variant' in chosen)) throw new Error('no variant');
    expect(srcsetOf(chosen.variant)).toBe(
      '/titles/film/0123456789abcdef/artwork/9-640.jpg 640w, /titles/film/0123456789abcdef/artwork/9-320.jpg 320w',
    );
    const widthFor = (width?: number) => pictureFor(chosen.variant, width).width;
    expect([widthFor(100), widthFor(321), widthFor(9999), widthFor()]).toEqual([320, 640, 640, 640]);
  });

  test('without consent what the region likes', async () => {
    const { ask, bandit } = open(ready);
    bandit.pick = 1;
    expect(await ask('film')).toMatchObject({ answer: 'cohort', variant: { id: 'shot-3' } });
    expect(bandit.asked[0]).not.toHaveProperty('context');
  });

  test("the operator's word takes a picture out", async () => {
    const overrides = parseSidecar('{"version":1,"withoutArtwork":["shot-3"]}');
    const { ask, bandit } = open({ state: 'ready', ...published(title), overrides });
    await ask('film');
    expect(bandit.asked[0]?.arms.map(({ id }) => id)).toEqual(['poster', 'shot-9']);
  });

  test('of a title of others what its catalogue names, its poster first, and no address that is none', async () => {
    const { ask, bandit } = open(ready);
    expect(await ask('foreign')).toMatchObject({ variant: { id: 'poster', pictures: [{ url: '/p.jpg' }] } });
    expect(bandit.asked[0]?.arms.map(({ id }) => id)).toEqual(['poster', 'wide']);
  });

  test('who is held out, or comes too late, sees the poster', async () => {
    const { ask, bandit } = open(ready);
    expect(await ask('film', 'late', 60)).toMatchObject({ variant: { id: 'poster' } });
    bandit.isHeldOut = true;
    bandit.pick = 2;
    expect(await ask('film')).toMatchObject({
      answer: 'default',
      reason: 'holdout',
      variant: { id: 'poster' },
    });
  });

  test.each([
    ['nobody', 404, 'unknown'],
    ['soon', 409, 'pending'],
    ['slow', 503, 'package-late'],
  ])('%s: %i', async (titleId, status, reason) => {
    expect(await open(ready).ask(titleId, undefined, 60)).toEqual({ status, reason });
  });
});
