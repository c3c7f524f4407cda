// Modules of others: loaded whole or refused with what is wrong, and a ranker that chooses in a bandit.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { loadModules, type MomentFeatures } from '../../../agent/preview/modules.ts';
import { fakeBandit } from '../../fake/bandit.ts';
import { nearcast } from '../../fake/preview-module.ts';

const root = mkdtempSync(join(tmpdir(), 'nearcast-modules-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const example = fileURLToPath(new URL('../../fake/preview-module.ts', import.meta.url));
let files = 0;
const written = (text: string): string => {
  files += 1;
  const file = join(root, `${files}.mjs`);
  writeFileSync(file, text);
  return file;
};

const dim: MomentFeatures = {
  ...{ spatial: 0.5, temporal: 0.5, luma: 0.75, saturation: 0.5, loudness: 1 },
  ...{ motion: 0.5, darkness: 0.5, dialogue: 0.5, saliency: 0.5, cutting: 0.5 },
};

test('an example is loaded, and its ranker chooses', async () => {
  const { arms, momentScorers, rankers } = await loadModules([example]);
  expect(arms).toEqual(nearcast.arms);
  expect(arms[0]?.score(dim)).toBe(-0.75);
  expect(momentScorers[0]?.score(dim)).toBe(-0.5);
  const { bandit } = fakeBandit({ rankers, settings: { policy: 'surest', explorationRatio: 0 } });
  const offered = [
    { id: 'a', features: Float64Array.of(1, 1) },
    { id: 'b', features: Float64Array.of(0.5, 0.5) },
  ];
  // Neutral looks say least, so that of them the model is surest.
  expect(bandit.choose({ slot: 'preview', titleId: 'film', arms: offered })).toMatchObject({
    index: 1,
    policy: 'surest',
  });
});

test.each([
  ['no export', 'export const other = 1', /export "nearcast"/],
  ['another version', 'export const nearcast = { version: 2 }', /version 1/],
  ['no list', 'export const nearcast = { version: 1, arms: {} }', /"arms" must be a list/],
  ['no id', 'export const nearcast = { version: 1, arms: [{ score() {} }] }', /arms\[0\] needs an id/],
  [
    'an id that is taken',
    "export const nearcast = { version: 1, rankers: [{ id: 'linucb', propensities() {} }] }",
    /taken/,
  ],
  ['no function', "export const nearcast = { version: 1, rankers: [{ id: 'x', score() {} }] }", /lacks its function/],
  ['no JavaScript', 'export const', /./],
])('%s: refused', async (_name, text, message) => {
  await expect(loadModules([written(text)])).rejects.toThrow(message);
});

test('a file that is not there is refused, and two modules may not share an id', async () => {
  await expect(loadModules([join(root, 'none.mjs')])).rejects.toThrow();
  const twice = "export const nearcast = { version: 1, arms: [{ id: 'night', score() { return 0 } }] }";
  await expect(loadModules([example, written(twice)])).rejects.toThrow(/"night" is taken/);
});
