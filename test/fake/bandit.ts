// A bandit of the product whose tables are in memory and whose clock and chance are the caller's.

import type { GuardState } from '../../agent/preview/bandit-guard.ts';
import { vaguePrior } from '../../agent/preview/bandit-linear.ts';
import {
  type Bandit,
  type BanditOptions,
  type BanditSettings,
  type BanditStore,
  openBandit,
} from '../../agent/preview/bandit-room.ts';
import type { ArmState, SlotState } from '../../agent/preview/posteriors.ts';
import type { ChoiceRow } from '../../agent/state-schema.ts';

/** The defaults of agent/config-schema.ts, but that a play is the whole reward and comes at once. */
const SETTINGS: BanditSettings = {
  policy: 'linucb',
  explorationRatio: 0.01,
  leastPropensity: 0,
  confidence: 0.6,
  halfLifeMs: 90 * 86_400_000,
  weights: { played: 1, watched: 0, completed: 0, returned: 0 },
  guard: { marginRatio: 0.05, stopMs: 7 * 86_400_000 },
};

/** Tables in memory; `log` holds what was shown, the id being its index. */
export type MemoryStore = BanditStore & { readonly log: (Omit<ChoiceRow, 'reward'> & { reward: number })[] };

/** Empty tables. */
export function memoryStore(): MemoryStore {
  const log: MemoryStore['log'] = [];
  const slots = new Map<string, SlotState>();
  const arms = new Map<string, ArmState>();
  const guards = new Map<string, GuardState & { slot: string; arm: string }>();
  const spent = new Map<number, number>();
  const key = (...parts: readonly string[]) => parts.join(' ');
  return {
    log,
    loadSlot: (slot) => slots.get(slot),
    saveSlot: (slot, state) => void slots.set(slot, structuredClone({ ...state })),
    loadArm: (slot, title, arm) => arms.get(key(slot, title, arm)),
    armsOf: (slot) => [...arms].filter(([name]) => name.startsWith(`${slot} `)).map(([, state]) => state),
    saveArm: ({ slot, title, arm }, state) => void arms.set(key(slot, title, arm), state),
    guards: () => [...guards.values()],
    saveGuard: (place, state) => void guards.set(key(place.slot, place.arm), { ...place, ...state }),
    spent: { get: (id) => spent.get(id) ?? 0, add: (id, bit) => void spent.set(id, (spent.get(id) ?? 0) | bit) },
    addChoice: (choice) => log.push({ ...choice, reward: 0 }) - 1,
    addReward: (id, amount) => {
      const row = log[id];
      if (row !== undefined) row.reward += amount;
    },
  };
}

/** A bandit and all that a test turns. */
export type FakeBandit = { readonly bandit: Bandit; readonly store: MemoryStore; readonly clock: { ms: number } };

type FakeOptions = Partial<Omit<BanditOptions, 'settings' | 'store'>> & { readonly settings?: Partial<BanditSettings> };

/** Opens one; `settings` beside SETTINGS. */
export function fakeBandit({
  store = memoryStore(),
  ...options
}: FakeOptions & { readonly store?: MemoryStore } = {}): FakeBandit {
  const { bandit, clock } = banditOver(store, options);
  return { bandit, store, clock };
}

/** The same over tables of the caller's. */
export function banditOver(
  store: BanditStore,
  { settings, ...options }: FakeOptions,
): Pick<FakeBandit, 'bandit' | 'clock'> {
  const clock = { ms: 1_700_000_000_000 };
  const bandit = openBandit({
    store,
    secret: Buffer.alloc(32, 1),
    now: () => clock.ms,
    random: () => 0.5,
    prior: (_slot, length) => vaguePrior(length),
    rankers: [],
    assign: () => undefined,
    exposed: () => undefined,
    settings: { ...SETTINGS, ...settings },
    ...options,
  });
  return { bandit, clock };
}
