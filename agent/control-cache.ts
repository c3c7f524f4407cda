// Control calls on what the cache holds: purge, pin, preposition, and why a URL is cached or not.
import { isGroupName, isTagName, type PurgeSelector } from '../cache/cache.ts';
import type { ControlCall, ControlInput, ControlReply } from './control.ts';
import { bad, type Controlled, keyOf, MAX_EXPLAINED, ok, textOf, textsOf } from './control-input.ts';
import type { JobStatus } from './control-jobs.ts';
import { preposition as prepositionWork } from './preposition.ts';

const NO_PATH = 'url must be a path of the viewer listener, beginning with /';
/** A path, or an absolute URL, which names the host too. */
const isTarget = (url: string): boolean => /^(\/|https?:\/\/[^/?#]+\/)/i.test(url);
/** How long a call waits for its job before it answers with the job's id. */
const WAIT_MS = 5_000;
const MAX_WAIT_MS = 20_000;
/** The same for a preposition: long enough to hear that a manifest cannot be read. */
const PLAN_MS = 500;

const BUSY: ControlReply = { status: 503, json: { error: 'too many jobs run already: try again when one has ended' } };
/** A job that has ended is its result, one that runs is 202. */
function answerJob(status: JobStatus | undefined): ControlReply {
  if (status === undefined) return BUSY;
  return { status: status.error !== undefined ? 400 : status.isDone ? 200 : 202, json: status };
}

/** The selector of a purge, or why there is none. */
function selectorOf(body: unknown): PurgeSelector | string {
  const named = (['url', 'prefix', 'tag', 'group'] as const).flatMap((by) => {
    const text = textOf(body, by);
    return text === undefined ? [] : [{ by, text }];
  });
  const [one] = named;
  if (one === undefined || named.length > 1) return 'takes one of url, prefix, tag and group';
  const host = textOf(body, 'host');
  const soft = keyOf(body, 'soft') === true;
  if (one.by === 'tag') {
    if (!isTagName(one.text)) return 'a tag is visible ASCII without comma, 126 characters at most';
    return { tag: one.text, soft, ...(host === undefined ? {} : { host }) };
  }
  if (one.by === 'group') {
    if (!isGroupName(one.text)) return 'a group is printable ASCII, 126 characters at most';
    return { group: one.text, soft, ...(host === undefined ? {} : { host }) };
  }
  const target = host === undefined || !one.text.startsWith('/') ? one.text : `https://${host}${one.text}`;
  if (!isTarget(target)) return NO_PATH;
  return one.by === 'url' ? { url: target, soft } : { prefix: target, soft };
}

async function purge({ cache, jobs }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  const selector = selectorOf(body);
  if (typeof selector === 'string') return bad(`purge: ${selector}`);
  const status = await jobs.start(
    'purge',
    (tell) => cache.purge({ ...selector, onProgress: (objects) => tell({ objects }) }),
    WAIT_MS,
  );
  return answerJob(status);
}

async function pin({ cache }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  const url = textOf(body, 'url');
  const prefix = textOf(body, 'prefix');
  const target = url ?? prefix;
  if (target === undefined || (url === undefined) === (prefix === undefined)) return bad('pin takes url or prefix');
  if (!isTarget(target)) return bad(NO_PATH);
  const objects = await cache.pin(
    url === undefined ? { prefix: target } : { url: target },
    keyOf(body, 'isPinned') !== false,
  );
  return ok({ objects });
}

async function preposition(controlled: Controlled, { body }: ControlInput): Promise<ControlReply> {
  const { cache, agent, config, jobs, now } = controlled;
  const asked = { urls: textsOf(body, 'urls'), titles: textsOf(body, 'titles'), pin: keyOf(body, 'pin') === true };
  if (asked.urls.length + asked.titles.length === 0) return bad('preposition takes urls or titles');
  if (asked.titles.length > 0 && agent === undefined) return bad('titles are known with agent: on only');
  if (!asked.urls.every(isTarget)) return bad(NO_PATH);
  const { bytesPerSecond } = config.prefetch;
  return answerJob(
    await jobs.start('preposition', prepositionWork({ cache, agent, bytesPerSecond, now }, asked), PLAN_MS),
  );
}

async function lookAtJob({ jobs }: Controlled, { rest, query }: ControlInput): Promise<ControlReply> {
  const waitMs = Math.min(MAX_WAIT_MS, Math.max(0, Number(query.get('waitMs') ?? 0) || 0));
  const status = await jobs.look(rest, waitMs);
  return status === undefined ? { status: 404, json: { error: `no job ${rest} is known` } } : answerJob(status);
}

/** Everything that is known of a URL. */
export async function explainUrl({ cache, agent }: Controlled, url: string): Promise<ControlReply> {
  if (!isTarget(url)) return bad(NO_PATH);
  const holding = cache.explain(url);
  const title = agent?.catalogue.titleOf(URL.parse(url, 'http://node')?.pathname ?? url);
  return ok({
    url,
    title: title ?? null,
    ranking: (title !== undefined && (await agent?.prediction.predictor.explain(title))) || null,
    holding: holding ?? null,
    decisions: agent?.prefetching.decisions.latest(MAX_EXPLAINED, { url }) ?? [],
  });
}

/** The calls of this file. */
export function cacheCalls(controlled: Controlled): readonly ControlCall[] {
  return [
    { method: 'POST', path: '/purge', answer: (input) => purge(controlled, input) },
    { method: 'POST', path: '/pin', answer: (input) => pin(controlled, input) },
    { method: 'POST', path: '/preposition', answer: (input) => preposition(controlled, input) },
    { method: 'GET', path: '/jobs/', answer: (input) => lookAtJob(controlled, input) },
  ];
}
