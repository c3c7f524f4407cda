// A CMCD event-mode report (CTA-5004-B) in the words of the beacon.
import type { CmcdReport, PlayState } from './cmcd.ts';
import { EVENT_TYPES, type EventType, MAX_POSITION_SECONDS, MAX_RATE, type ViewerEvent } from './event.ts';

const EVENT_BY_STATE: Readonly<Partial<Record<PlayState, EventType>>> = {
  starting: 'open',
  playing: 'play',
  paused: 'pause',
  seeking: 'seek',
  ended: 'stop',
  quit: 'stop',
};

/** Codes of `e` that say what somebody did, whatever state the player is in; a title's change is its opening. */
const EVENT_BY_CODE: Readonly<Record<string, EventType | undefined>> = { pr: 'rate', m: 'mute', c: 'open' };

/** The event that an event-mode report tells, in the words of the beacon; undefined for a mere report. */
export function eventOf(report: CmcdReport, titleId: string, at: number): ViewerEvent | undefined {
  const custom = EVENT_TYPES.find((type) => report.event === 'ce' && type === report.customEvent);
  const state = report.event === 'ps' && report.playState !== undefined ? EVENT_BY_STATE[report.playState] : undefined;
  const type = custom ?? state ?? EVENT_BY_CODE[report.event ?? ''];
  if (type === undefined) return undefined;
  const { positionSeconds, rate } = report;
  return {
    at,
    type,
    title: titleId,
    ...(positionSeconds === undefined ? {} : { positionSeconds: Math.min(MAX_POSITION_SECONDS, positionSeconds) }),
    ...(rate === undefined ? {} : { rate: Math.min(MAX_RATE, rate) }),
  };
}
