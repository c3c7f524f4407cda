// Viewings of the simulated viewers without a network, a moment a second with what came of it: what the anticipator is trained
// and judged on until telemetry of real viewers is there. Pure.
import { HORIZON_SECONDS, type LastAction, type Moment, type Outcome } from '../predict/anticipate.ts';
import { drawTitles, type SiteTitle } from './player-titles.ts';
import { type Act, type Chance, drawAct, drawHabit } from './player-viewer.ts';
import { seededChance } from './workload.ts';

/** One thing that a viewer did, in a viewing. `at`: seconds of watching since its begin, pauses left out. */
export type Deed = { readonly at: number; readonly type: LastAction; readonly positionSeconds: number };

/** A second of a viewing: what was known, the deeds until then (newest last), and what came within HORIZON_SECONDS. */
export type Second = { readonly moment: Moment; readonly deeds: readonly Deed[]; readonly outcome: Outcome };

const OUTCOME: Readonly<Record<Act['type'], Outcome>> = { pause: 'pause', seek: 'seek', next: 'next', leave: 'leave' };
/** Nobody watches one title for longer in one go. */
const MAX_SECONDS = 14_400;

type Pending = { readonly moment: Moment; readonly deeds: readonly Deed[]; readonly at: number };

/** One viewing of one title. */
function watchOnce(title: SiteTitle, chance: Chance, habit: ReturnType<typeof drawHabit>): readonly Second[] {
  const seconds: Second[] = [];
  let waiting: Pending[] = [];
  let deeds: readonly Deed[] = [{ at: 0, type: 'start', positionSeconds: 0 }];
  let position = 0;
  for (let at = 1; at < MAX_SECONDS; at += 1) {
    position += 1;
    const newest = deeds.at(-1);
    const moment: Moment = {
      positionSeconds: position,
      durationSeconds: title.durationSeconds,
      last: newest?.type ?? 'start',
      sinceSeconds: at - (newest?.at ?? 0),
    };
    waiting.push({ moment, deeds, at });
    const isOver = position >= title.durationSeconds;
    const act: Act | undefined = isOver ? { type: 'leave' } : drawAct(habit, title, moment, chance);
    const outcome = act === undefined ? 'continue' : OUTCOME[act.type];
    const ripe = act === undefined ? waiting.filter((each) => at - each.at >= HORIZON_SECONDS - 1) : waiting;
    for (const each of ripe) seconds.push({ moment: each.moment, deeds: each.deeds, outcome });
    waiting = act === undefined ? waiting.filter((each) => at - each.at < HORIZON_SECONDS - 1) : [];
    if (act?.type === 'leave' || act?.type === 'next') break;
    if (act?.type === 'seek') position = act.toSeconds;
    if (act !== undefined) {
      const type = act.type === 'pause' ? ('resume' as const) : ('seek' as const);
      deeds = [...deeds, { at, type, positionSeconds: position }].slice(-32);
    }
  }
  return seconds;
}

/** Viewings of many viewers. Those of one seed are the same; those of another seed are of other viewers and titles. */
export function drawViewings(seed: number, count: number): readonly (readonly Second[])[] {
  const chance = seededChance(seed);
  const titles = drawTitles(chance);
  return Array.from({ length: count }, () => {
    const title = titles[Math.floor(titles.length * chance())];
    return title === undefined ? [] : watchOnce(title, chance, drawHabit(chance));
  });
}
