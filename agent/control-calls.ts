// What the control socket answers: status, explain, plan, models, pause, encode, erase; and the cache's own calls.
import { SOURCE_CLASSES } from '../encoder/contract.ts';
import type { Agent } from './agent.ts';
import { summarise } from './api.ts';
import type { ControlCall, ControlInput, ControlReply } from './control.ts';
import { cacheCalls, explainUrl } from './control-cache.ts';
import { experimentCalls } from './control-experiments.ts';
import { bad, type Controlled, keyOf, MAX_EXPLAINED, OFF, ok, textOf } from './control-input.ts';
import { modelCalls } from './control-models.ts';
import { AgentError } from './errors.ts';

const ENCODE_OFF: ControlReply = { status: 409, json: { error: 'encoding is off on this node' } };

const sum = (values: Readonly<Record<string, number>>): number =>
  Object.values(values).reduce((total, value) => total + value, 0);

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
    origins: read.cache.origins,
    prefetch: { ...read.prefetch, ...read.cache.prefetch, inSession: read.inSession ?? null },
    model: { version: read.predict.models[0]?.version ?? null, ...read.predict.answers },
    sessions: read.sessions,
    encodes: agent?.encodes?.list() ?? [],
    power: agent?.power.stats() ?? null,
  });
}

/** Hours that a title is expected to be watched, what that was made of, and its place in what the region will watch. */
function demandOf({ expectation, prediction }: Agent, titleId: string) {
  const share = prediction.predictor.shares().find((one) => one.titleId === titleId)?.share ?? 0;
  return { ...expectation.explained(titleId), shareOfViews: share, trustRatio: prediction.drift.trust() };
}

async function explain(controlled: Controlled, { query }: ControlInput): Promise<ControlReply> {
  const { agent } = controlled;
  const url = query.get('url');
  if (url !== null) return explainUrl(controlled, url);
  if (agent === undefined) return OFF;
  const what = query.get('what');
  const isSession = what !== null && agent.sessions.has(what);
  const titleId = query.get('title') ?? (isSession ? null : what);
  if (titleId !== null) {
    const found = await agent.catalogue.package(titleId);
    return ok({
      title: agent.catalogue.title(titleId) ?? null,
      package:
        found === undefined
          ? null
          : { hash: found.hash, baseUrl: found.baseUrl, savings: found.title.savings, metric: found.title.metric },
      ranking: (await agent.prediction.predictor.explain(titleId)) ?? null,
      demand: demandOf(agent, titleId),
      decisions: agent.prefetching.decisions.latest(MAX_EXPLAINED, { titleId }),
    });
  }
  const sid = query.get('sid') ?? what;
  if (sid === null) return bad('explain takes url, title, sid, or what: a title or a session');
  const session = agent.sessions.get(sid);
  if (session === undefined)
    return ok({ session: null, note: 'no session of that id has consented; nothing is kept of any other' });
  const ranking = await agent.prediction.rank({ session, limit: MAX_EXPLAINED });
  const { current } = session;
  const anticipated = current === undefined ? null : agent.prefetching.anticipated(sid, current);
  return ok({ session: { history: session.history, hovered: session.hovered ?? null, anticipated }, ranking });
}

/** What the last nightly run did, and what is to be encoded in which order, or why not. */
function plan({ agent }: Controlled): ControlReply {
  if (agent === undefined) return OFF;
  return ok({ ...agent.prefetching.offPeak(), encodes: agent.encoding?.plan() ?? null });
}

/** Work in the background by name: what holds it back, or lets it go on. */
const PAUSABLE: Readonly<Record<string, (agent: Agent, isPaused: boolean) => void>> = {
  prefetch: ({ prefetching }, isPaused) => {
    if (isPaused) prefetching.fetcher.pause();
    else prefetching.fetcher.resume();
  },
  encode: ({ encodes }, isPaused) => encodes?.setPaused(isPaused),
  retrain: ({ prediction }, isPaused) => prediction.life?.setPaused(isPaused),
};

function setPaused({ agent }: Controlled, { body }: ControlInput, isPaused: boolean): ControlReply {
  if (agent === undefined) return OFF;
  const named = textOf(body, 'what');
  if (named !== undefined && !Object.hasOwn(PAUSABLE, named)) {
    return bad(`what must be one of ${Object.keys(PAUSABLE).join(', ')}; without it all of them are meant`);
  }
  if (named === 'encode' && agent.encodes === undefined) return ENCODE_OFF;
  const what = named === undefined ? Object.keys(PAUSABLE) : [named];
  for (const name of what) PAUSABLE[name]?.(agent, isPaused);
  return ok({ what, isPaused });
}

async function encode({ agent }: Controlled, { body }: ControlInput): Promise<ControlReply> {
  if (agent?.encodes === undefined) return ENCODE_OFF;
  const input = textOf(body, 'input');
  const id = textOf(body, 'id');
  if (input === undefined || id === undefined) return bad('encode takes input, a path on the node, and id');
  const name = textOf(body, 'name');
  const when = keyOf(body, 'when') ?? 'now';
  if (when !== 'now' && when !== 'pays') return bad('when must be now or pays');
  const deadlineSeconds = keyOf(body, 'deadlineSeconds');
  const sourceBytes = keyOf(body, 'sourceBytes');
  if (
    ![deadlineSeconds, sourceBytes].every((value) => value === undefined || (typeof value === 'number' && value >= 0))
  )
    return bad('deadlineSeconds and sourceBytes are numbers');
  const sourceClass = SOURCE_CLASSES.find((known) => known === keyOf(body, 'sourceClass'));
  if (sourceClass === undefined && keyOf(body, 'sourceClass') !== undefined)
    return bad(`sourceClass must be one of ${SOURCE_CLASSES.join(', ')}`);
  try {
    const job = {
      ...{ input, id },
      ...(name === undefined ? {} : { name }),
      ...(sourceClass === undefined ? {} : { sourceClass }),
      ...(typeof deadlineSeconds === 'number' && { deadlineSeconds }),
    };
    const isNew = await agent.encodes.submit(job, { when, ...(typeof sourceBytes === 'number' && { sourceBytes }) });
    return ok({ isNew });
  } catch (error) {
    if (error instanceof AgentError) return { status: 409, json: { error: error.message, code: error.code } };
    return bad(String(error));
  }
}

/** Every call of CONTRACTS "Control socket" that this version answers. */
export function controlCalls(controlled: Controlled): readonly ControlCall[] {
  const { agent } = controlled;
  return [
    { method: 'GET', path: '/status', answer: () => status(controlled) },
    { method: 'GET', path: '/explain', answer: (input) => explain(controlled, input) },
    { method: 'GET', path: '/plan', answer: () => plan(controlled) },
    {
      method: 'GET',
      path: '/report',
      answer: async () =>
        agent === undefined
          ? OFF
          : ok({ ...(await agent.meter.report()), prefetch: agent.prefetching.inSession().switched }),
    },
    ...modelCalls(controlled),
    ...cacheCalls(controlled),
    ...experimentCalls(controlled),
    { method: 'POST', path: '/reload', answer: async () => ok(await controlled.reload()) },
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
