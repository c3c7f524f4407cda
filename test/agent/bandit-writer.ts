// A bandit over the state in argv[2], until it is killed: previews, plays, and after each flush the last token that was told.
import { setImmediate as turn } from 'node:timers/promises';
import { openPreviewStore } from '../../agent/preview-store.ts';
import { openState } from '../../agent/state.ts';
import { banditOver } from '../fake/bandit.ts';

const state = openState({ dir: process.argv[2] ?? '', flushMs: 60_000, log: () => undefined });
const now = () => 1_700_000_000_000;
const { bandit } = banditOver(openPreviewStore(state, { region: 'eu', now }), { random: Math.random });
const arms = ['a', 'b'].map((id, n) => ({ id, features: Float64Array.of(n, 1 - n, 0.5) }));
for (let count = 1; ; count += 1) {
  const token = bandit.shown(bandit.choose({ slot: 'preview', titleId: `film-${count % 7}`, arms }));
  bandit.told(token, { type: 'play' });
  bandit.save();
  state.flush();
  process.stdout.write(`${count} ${token}\n`);
  await turn();
}
