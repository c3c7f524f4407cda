// A node's prediction over a state in argv[2], with a challenger beside its champion: it hears questions for ever, saves now
// and then, and tells how many of them are on disk.
import { join } from 'node:path';
import { FEATURE_NAMES } from '../../agent/predict/features.ts';
import { openPrediction } from '../../agent/prediction.ts';
import { openState } from '../../agent/state.ts';
import { raw } from '../../agent/telemetry/event.ts';

const dir = process.argv[2] ?? '';
const state = openState({ dir, flushMs: 60_000, log: () => undefined });
const titleIds = Array.from({ length: 20 }, (_, at) => `t${at}`);
const prediction = await openPrediction({
  titles: () => titleIds.map((id) => ({ id })),
  ...{ catalogueVersion: () => 1, region: 'here', modelsDir: join(dir, 'models'), hasModel: true, deadlineMs: 5_000 },
  retrain: { promotion: 'manual', minutes: 5, maxBytes: 600 * 2 ** 20, minReachRatio: 0 },
  ...{ watches: () => [], pace: () => 1, snapshots: state.snapshots, now: Date.now, log: () => undefined },
});
const features = Float32Array.from({ length: titleIds.length * FEATURE_NAMES.length }, (_, at) => (at % 7) / 7);
for (let asked = 0; ; asked += 1) {
  const champion = prediction.life?.report();
  if (champion?.other === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    continue;
  }
  prediction.played({ titleId: `t${asked % 20}`, at: Date.now(), weight: 1 });
  prediction.predictor.turned('t1', ['t0']);
  prediction.life?.answered({
    ...{ titleIds, features, modelVersion: champion.champion, at: 1, history: [], chosen: asked % 20 },
    viewer: raw(`viewer-${asked % 40}`),
    scores: Float32Array.from(titleIds, (_, row) => row),
  });
  await new Promise((resolve) => setImmediate(resolve));
  if (asked % 50 !== 49) continue;
  prediction.save(true);
  state.flush();
  process.stdout.write(`${prediction.life?.report().trial.questions}\n`);
}
