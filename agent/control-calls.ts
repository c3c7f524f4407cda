// What the control socket answers: status, explain, plan, models, purge, preposition, pin, pause, encode, erase.
import type { Cache } from '../cache/cache.ts';
import { SOURCE_CLASSES } from '../encoder/contract.ts';
import type { Agent } from './agent.ts';
import { summarise } from './api.ts';
import type { Config } from './config.ts';
import type { ControlCall, ControlInput, ControlReply } from './control.ts';
import { AgentError } from './errors.ts';
import type { NodeStats } from './node-stats.ts';

/** What the calls look at and change. Without an agent (agent: off) its calls answer 409. */
export type Controlled = {
  readonly config: Config;
  readonly cache: Cache;
  readonly agent: Agent | undefined;
  readonly stats: () => NodeStats;
  readonly unreadiness: () => string | undefined;
  readonly uptimeSeconds: () => number;
};

const ok = (json: unknown): ControlReply => ({ status: 200, json });
const bad = (error: string): ControlReply => ({ status: 400, json: { error } });
const OFF: ControlReply = { status: 409, json: { error: 'this node runs with agent: off' } };
const ENCODE_OFF: ControlReply = { status: 409, json: { error: 'encoding is off on this node' } };
/** Titles in an explained ranking, and decisions in any explanation. */
const MAX_EXPLAINED = 20;
const MAX_URLS = 10_000;

const sum = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((total, value) => total + value, 0);

/** A key of an unknown JSON body. */
function keyOf(body: unknown, key: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, key) ? Reflect.get(body, key) : undefined;
}
const textOf = (body: unknown, key: string): string | undefined => {
  const value = keyOf(body, key);
  return typeof value === 'string' && value !== '' ? value : undefined;
};
function textsOf(body: unknown, key: string): readonly string[] {
  const value = keyOf(body, key);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string').slice(0, MAX_URLS) : [];
}

const NO_PATH = 'url must be a path of the viewer listener, beginning with /';
const isPath = (url: string): boolean => url.startsWith('/');

function status({ config, agent, stats, unreadiness, uptimeSeconds }: Controlled): ControlReply {
  const read = stats();
  return ok({
    node: { ...config.node, version: read.build.version },
    unready: unreadiness() ?? null,
    uptimeSeconds: Math.round(uptimeSeconds()),
    ...summarise(read),
    servedBytes: sum(read.cache.sentBytes),
    originBytes: sum(read.cache.originBytes),
    store: read.cache.store,
    prefetch: { ...read.prefetch, ...read.cache.prefetch },
    model: { version: read.predict.models[0]?.version ?? null, ...read.predict.answers },
    sessions: read.sessions,
    encodes: agent?.encodes?.list() ?? [],
  });
}

async function explain(controlled: Controlled, { query }: ControlInput): Promise<ControlReply> {
  const { cache, agent } = controlled;
  const url = query.get('url');
  if (url !== null) {
    if (!isPath(url)) return bad(NO_PATH);
    const title = agent?.catalogue.titleOf(url);
    return ok({
      url,
      title: title ?? null,
      holding: cache.has(url) ?? null,
      decisions: agent?.prefetching.decisions.latest(MAX_EXPLAINED, { url }) ?? [],
    });
  }
  if (agent === undefined) return OFF;
  const titleId = query.get('title');
  if (titleId !== null) {
    const found = agent.catalogue.package(titleId);
    return ok({
      title: agent.catalogue.title(titleId) ?? null,
      package:
        found === undefined
          ? null
          : { hash: found.hash, baseUrl: found.baseUrl, savings: found.title.savings, metric: found.title.metric },
      ranking: (await agent.prediction.predictor.explain(titleId)) ?? null,
      decisions: agent.prefetching.decisions.latest(MAX_EXPLAINED, { titleId }),
    });
  }
  const sid = query.get('sid');
  if (sid === null) return bad('explain takes url, title or sid');
  const session = agent.sessions.get(sid);
  if (session === undefined)
    return ok({ session: null, note: 'no session of that id has consented; nothing is kept of any other' });
  const ranking = await agent.prediction.rank({ session, limit: MAX_EXPLAINED });
  return ok({ session: { history: session.history, hovered: session.hovered ?? null }, ranking });
}

async function purge({ cache }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  const url = textOf(body, 'url');
  const prefix = textOf(body, 'prefix');
  const soft = keyOf(body, 'soft') === true;
  if ((url === undefined) === (prefix === undefined)) return bad('purge takes url or prefix');
  if (!isPath(url ?? prefix ?? '')) return bad(NO_PATH);
  return ok({ purged: await cache.purge(url === undefined ? { prefix: prefix ?? '', soft } : { url, soft }) });
}

async function preposition({ agent }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  if (agent === undefined) return OFF;
  const urls = [...textsOf(body, 'urls')];
  for (const titleId of textsOf(body, 'titles')) {
    const timeline = await agent.timelines.of(titleId);
    if (timeline === undefined) return bad(`title ${titleId} has neither a package nor a readable manifest`);
    urls.push(timeline.masterUrl);
    for (const { playlistUrl, initUrl, parts } of timeline.tracks) {
      urls.push(...[playlistUrl, initUrl].filter((one) => one !== undefined), ...parts.map((part) => part.url));
    }
  }
  if (urls.length === 0) return bad('preposition takes urls or titles');
  if (!urls.every(isPath)) return bad(NO_PATH);
  const pushed: Record<string, number> = {};
  for (const url of urls) {
    const titleId = agent.catalogue.titleOf(url) ?? '';
    const outcome = agent.prefetching.fetcher.push({
      url,
      titleId,
      reason: 'operator',
      why: 'asked for by the operator',
      priority: 'off-peak',
      bytes: 0,
    });
    pushed[outcome] = (pushed[outcome] ?? 0) + 1;
  }
  return ok({ pushed });
}

function setPaused({ agent }: Controlled, { body }: ControlInput, isPaused: boolean): ControlReply {
  if (agent === undefined) return OFF;
  const what = textOf(body, 'what');
  if (what === 'prefetch') {
    if (isPaused) agent.prefetching.fetcher.pause();
    else agent.prefetching.fetcher.resume();
  } else if (what === 'encode') {
    if (agent.encodes === undefined) return ENCODE_OFF;
    agent.encodes.setPaused(isPaused);
  } else {
    return bad('what must be prefetch or encode');
  }
  return ok({ what, isPaused });
}

async function encode({ agent }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  if (agent?.encodes === undefined) return ENCODE_OFF;
  const input = textOf(body, 'input');
  const id = textOf(body, 'id');
  if (input === undefined || id === undefined) return bad('encode takes input, a path on the node, and id');
  const name = textOf(body, 'name');
  const sourceClass = SOURCE_CLASSES.find((known) => known === keyOf(body, 'sourceClass'));
  if (sourceClass === undefined && keyOf(body, 'sourceClass') !== undefined)
    return bad(`sourceClass must be one of ${SOURCE_CLASSES.join(', ')}`);
  try {
    const isNew = await agent.encodes.submit({
      input,
      id,
      ...(name === undefined ? {} : { name }),
      ...(sourceClass === undefined ? {} : { sourceClass }),
    });
    return ok({ isNew });
  } catch (error) {
    if (error instanceof AgentError) return { status: 409, json: { error: error.message, code: error.code } };
    return bad(String(error));
  }
}

/** Every call of CONTRACTS "Control socket" that this version answers. */
export function controlCalls(controlled: Controlled): readonly ControlCall[] {
  const { cache, agent } = controlled;
  return [
    { method: 'GET', path: '/status', answer: () => status(controlled) },
    { method: 'GET', path: '/explain', answer: (input) => explain(controlled, input) },
    { method: 'GET', path: '/plan', answer: () => (agent === undefined ? OFF : ok(agent.prefetching.offPeak())) },
    {
      method: 'GET',
      path: '/report',
      answer: async () => (agent === undefined ? OFF : ok(await agent.meter.report())),
    },
    { method: 'GET', path: '/models', answer: () => (agent === undefined ? OFF : ok(agent.prediction.models())) },
    { method: 'POST', path: '/purge', answer: (input) => purge(controlled, input) },
    { method: 'POST', path: '/preposition', answer: (input) => preposition(controlled, input) },
    {
      method: 'POST',
      path: '/pin',
      answer: ({ body }) => {
        const url = textOf(body, 'url');
        return url === undefined || !isPath(url)
          ? bad(url === undefined ? 'pin takes url' : NO_PATH)
          : ok({ isStored: cache.pin(url, keyOf(body, 'isPinned') !== false) });
      },
    },
    { method: 'POST', path: '/pause', answer: (input) => setPaused(controlled, input, true) },
    { method: 'POST', path: '/resume', answer: (input) => setPaused(controlled, input, false) },
    { method: 'POST', path: '/encode', answer: (input) => encode(controlled, input) },
    {
      method: 'DELETE',
      path: '/viewers/',
      answer: ({ rest }) => (agent === undefined ? OFF : ok(agent.sessions.erase(rest))),
    },
  ];
}
