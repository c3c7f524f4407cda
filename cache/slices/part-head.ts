// What an origin's answer to a run of blocks means: blocks of one version, all of the object, or nothing to combine.
import { randomBytes } from 'node:crypto';
import { type FillRequest, type FillTools, hintFor, type KeptHead, keptHead, renew } from '../fill/fill-head.ts';
import type { OriginHead } from '../origin/exchange.ts';
import { strongTag } from '../rules/conditional.ts';
import type { Part } from '../rules/range.ts';
import { judgePartial, unsatisfiedTotal, type Verdict, type Version, versionOf, withVersion } from '../rules/slices.ts';
import type { StoredObject, StoredResponse } from '../store/object.ts';
import { removeStored, type Sliced, slicedOf } from './sliced.ts';

/** The largest object that is fetched whole when its blocks cannot be combined. */
const MAX_WHOLE_BYTES = 16 * 1024 * 1024;

/** An object that changes more often within this time has no version of its own: its origin's servers disagree. */
const MAX_CHANGES = 2;
const CHANGES_MS = 60_000;

/** Request fields by which an origin knows a viewer. */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie']);

/** How a request for a part is answered when blocks cannot be combined: from the whole, or by the origin. */
export type Way = 'whole' | 'pass';

/** Blocks cannot be combined. `isOfObject`: of this object at all, not only for who asked. */
export type Unsliceable = { readonly outcome: 'unsliceable'; readonly way: Way; readonly isOfObject: boolean };

/** An answer to a run. */
export type PartHead =
  | {
      readonly outcome: 'slices';
      readonly sliced: Sliced;
      /** The whole representation's. */
      readonly kept: KeptHead;
      /** Where the run ends. */
      readonly end: number;
    }
  /** An answer of its own, as if no range had been asked for. */
  | { readonly outcome: 'whole'; readonly received: OriginHead }
  /** All of that version is stored already. */
  | { readonly outcome: 'confirmed'; readonly object: StoredObject }
  | Unsliceable
  | { readonly outcome: 'unsatisfiable'; readonly total: number | undefined }
  | { readonly outcome: 'invalid' };

/** What was asked for; `keeps`: what it brings may be stored. */
export type AskedPart = { readonly part: Part; readonly keeps: boolean };

/** Reads the answer to a run and stores the head of what it brings. */
export function partHead(received: OriginHead, asked: AskedPart, request: FillRequest, tools: FillTools): PartHead {
  if (received.status === 416) return unsatisfiable(received, request, tools);
  if (received.status !== 206) return { outcome: 'whole', received };
  const verdict = judgePartial(asked.part, received.headers, received.lengthBytes);
  if (verdict.verdict === 'invalid') return { outcome: 'invalid' };
  const whole: OriginHead = {
    ...received,
    status: 200,
    headers: received.headers.filter(([name]) => name !== 'content-range'),
    lengthBytes: verdict.total,
  };
  if (verdict.verdict === 'whole') return { outcome: 'whole', received: whole };
  const kept = keptHead(whole, request, tools);
  // What an origin says to one viewer's credentials says nothing of what it says to others.
  const isAnonymous = !request.fields.some(([name]) => CREDENTIALS.has(name));
  if (kept.refusal !== null) return { outcome: 'unsliceable', way: 'pass', isOfObject: isAnonymous };
  if (verdict.verdict === 'unsliceable') {
    return { outcome: 'unsliceable', way: wayFor(verdict.total), isOfObject: true };
  }
  return sliceHead(whole, { kept, verdict, keeps: asked.keeps }, request, tools);
}

function wayFor(total: number | undefined): Way {
  return total !== undefined && total <= MAX_WHOLE_BYTES ? 'whole' : 'pass';
}

function unsatisfiable(received: OriginHead, request: FillRequest, tools: FillTools): PartHead {
  const total = unsatisfiedTotal(received.headers);
  for (const stored of tools.store.find(request.key)) {
    const known = versionOf(stored);
    if (known !== undefined && total !== undefined && known.total !== total) removeStored(tools.store, stored);
  }
  return { outcome: 'unsatisfiable', total };
}

type Slices = {
  readonly kept: KeptHead;
  readonly verdict: Extract<Verdict, { verdict: 'slices' }>;
  readonly keeps: boolean;
};

function sliceHead(
  whole: OriginHead,
  { kept, verdict, keeps }: Slices,
  request: FillRequest,
  tools: FillTools,
): PartHead {
  const { tag, total, end } = verdict;
  const { response } = kept;
  const known = tools.store.find(request.key).find(({ variant }) => variant === response.variant);
  const version = known === undefined ? undefined : versionOf(known);
  const isSame =
    known !== undefined && strongTag(known.headers) === tag && (version?.total ?? known.lengthBytes) === total;
  if (isSame) {
    const renewed = renew(known, whole, tools);
    if (renewed !== undefined && version === undefined) return { outcome: 'confirmed', object: renewed };
    const sliced = renewed === undefined ? undefined : slicedOf(renewed);
    if (sliced !== undefined) return { outcome: 'slices', sliced, kept: { ...kept, isStored: true }, end };
  }
  if (known !== undefined) {
    removeStored(tools.store, known);
    const changes = (tools.changes.get(request.key, whole.receivedAt) ?? 0) + 1;
    tools.changes.set(request.key, changes, whole.receivedAt + CHANGES_MS);
    if (changes > MAX_CHANGES) return { outcome: 'unsliceable', way: wayFor(total), isOfObject: true };
  }
  const drawn: Version = { tag, total, epoch: randomBytes(9).toString('base64url') };
  return drawnHead(drawn, { kept, end, keeps }, request, tools);
}

/** The head of a version that is new here. */
function drawnHead(
  version: Version,
  { kept, end, keeps }: { readonly kept: KeptHead; readonly end: number; readonly keeps: boolean },
  request: FillRequest,
  tools: FillTools,
): PartHead {
  const response: StoredResponse = {
    ...kept.response,
    headers: withVersion(kept.response.headers, version),
    lengthBytes: 0,
  };
  const writer = keeps ? tools.store.write(response, hintFor(request, tools)) : undefined;
  writer?.finish().catch((error: unknown) => {
    tools.log('error', 'store.finish-failed', { error: String(error) });
  });
  const stored: StoredObject = {
    ...response,
    ...{ lengthBytes: 0, isPinned: false, isInvalidated: false, hits: 0, tier: 'memory', ranges: [[0, 0]] },
  };
  const sliced = slicedOf(stored) ?? { version, object: stored };
  return {
    outcome: 'slices',
    sliced: { ...sliced, stored: undefined },
    kept: { ...kept, isStored: writer !== undefined },
    end,
  };
}
