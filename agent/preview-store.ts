// Where the bandit's models, counts and choices live: the agent's state, read once and written behind.
import type { Linear } from './preview/bandit-linear.ts';
import type { BanditStore } from './preview/bandit-room.ts';
import type { ArmState, SlotState } from './preview/posteriors.ts';
import type { State } from './state.ts';
import { dayOf, type ModelRow } from './state-schema.ts';

/** Opens the store over the state's tables; models are those of one region. */
export function openPreviewStore(
  { arms, bandits, guards, choices, spent }: Pick<State, 'arms' | 'bandits' | 'guards' | 'choices' | 'spent'>,
  { region, now }: { readonly region: string; readonly now: () => number },
): BanditStore {
  const keyOf = (slot: string, title: string, arm: string) => `${slot}\n${title}\n${arm}`;
  const known = new Map<string, ArmState>();
  for (const { slot, title, arm, ...state } of arms.all()) known.set(keyOf(slot, title, arm), state);
  const armsOf = function* (slot: string): Generator<ArmState> {
    for (const [key, state] of known) if (key.startsWith(`${slot}\n`)) yield state;
  };
  return {
    loadSlot: (slot) => readSlot(bandits.get(slot, region)),
    saveSlot: (slot, state) => bandits.put(writeSlot(slot, region, state)),
    loadArm: (slot, title, arm) => known.get(keyOf(slot, title, arm)),
    armsOf,
    saveArm: (key, state) => {
      known.set(keyOf(key.slot, key.title, key.arm), state);
      arms.put({ ...key, ...state });
    },
    guards: guards.all,
    saveGuard: (key, { plays, completions, stoppedUntil }) => guards.put({ ...key, plays, completions, stoppedUntil }),
    spent: { get: spent.get, add: (id, bit) => spent.add({ id, day: dayOf(now()), bit }) },
    addChoice: choices.add,
    addReward: choices.reward,
  };
}

/** Bytes of an array of doubles. */
const bytesOf = (values: Float64Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Doubles of bytes; undefined unless they are `count` finite ones. */
function doublesOf(bytes: Uint8Array, count: number): Float64Array | undefined {
  if (bytes.byteLength !== count * 8) return undefined;
  const values = new Float64Array(bytes.slice().buffer);
  return values.every(Number.isFinite) ? values : undefined;
}

function writeSlot(slot: string, region: string, state: SlotState): ModelRow {
  const { length, steady, quick, order, drifts, lead, at, driftedAt, scales } = state;
  const [descriptorScale, tasteScale] = scales;
  const weights = { steadyWeight: steady.weight, quickWeight: quick.weight, descriptorScale, tasteScale };
  const json = { version: 2, order, drifts, lead, at, driftedAt, ...weights };
  return {
    ...{ slot, region, length, json: JSON.stringify(json) },
    steadyInformation: bytesOf(steady.information).slice(),
    steadyResponse: bytesOf(steady.response).slice(),
    quickInformation: bytesOf(quick.information).slice(),
    quickResponse: bytesOf(quick.response).slice(),
  };
}

/** A stored slot; undefined for none, for one of a later version, and for one whose numbers are damaged. */
function readSlot(row: ModelRow | undefined): SlotState | undefined {
  if (row === undefined) return undefined;
  const numbers = readNumbers(row.json);
  if (numbers === undefined) return undefined;
  const { length } = row;
  const size = 2 * length + 2;
  const linear = (information: Uint8Array, response: Uint8Array, weight: number): Linear | undefined => {
    const [matrix, vector] = [doublesOf(information, size * size), doublesOf(response, size)];
    return matrix === undefined || vector === undefined
      ? undefined
      : { size, weight, information: matrix, response: vector };
  };
  const steady = linear(row.steadyInformation, row.steadyResponse, numbers.steadyWeight);
  const quick = linear(row.quickInformation, row.quickResponse, numbers.quickWeight);
  const { order, drifts, lead, at, driftedAt, descriptorScale, tasteScale } = numbers;
  if (steady === undefined || quick === undefined || !(descriptorScale > 0) || !(tasteScale > 0)) return undefined;
  const scales = [descriptorScale, tasteScale] as const;
  return { order, drifts, lead, at, driftedAt, scales, length, steady, quick };
}

function readNumbers(json: string) {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined; // A damaged row: the slot begins anew.
  }
  if (typeof value !== 'object' || value === null || Reflect.get(value, 'version') !== 2) return undefined;
  const number = (name: string): number => Number(Reflect.get(value, name));
  const read = {
    ...{ order: number('order'), drifts: number('drifts'), lead: number('lead') },
    ...{ at: number('at'), driftedAt: number('driftedAt') },
    ...{ steadyWeight: number('steadyWeight'), quickWeight: number('quickWeight') },
    ...{ descriptorScale: number('descriptorScale'), tasteScale: number('tasteScale') },
  };
  return Object.values(read).every(Number.isFinite) ? read : undefined;
}
