// Rules on who may import whom: between rooms, into pure files, of packages, and never in a circle.
import { type Link, nameOf, nodeIn, nodesIn, type Source, type Violation, type Visit, violation } from './source.ts';

/** Folders (with a slash) and files that do no I/O and know neither clock nor chance. */
const PURE = [
  'cache/contract.ts',
  'cache/contract-stats.ts',
  'cache/vocabulary.ts',
  'cache/contract-listen.ts',
  'cache/rules/',
  'cache/manifest/',
  'encoder/contract.ts',
  'encoder/contract-ladder.ts',
  'encoder/plan/',
  'encoder/package/',
  'encoder/report/',
  'encoder/ffmpeg/args.ts',
  'encoder/ffmpeg/audio.ts',
  'encoder/ffmpeg/codecs/',
  'encoder/ffmpeg/describe.ts',
  'encoder/ffmpeg/parse.ts',
  'encoder/ffmpeg/picture.ts',
  'agent/telemetry/infer.ts',
  'agent/predict/',
  'agent/experiment/',
  'agent/sidecar/foresee.ts',
  'agent/sidecar/line.ts',
  'agent/simulate/billing.ts',
  'agent/simulate/chart.ts',
  'agent/simulate/log-line.ts',
  'agent/simulate/player.ts',
  'agent/simulate/player-edge.ts',
  'agent/simulate/player-habits.ts',
  'agent/simulate/player-site.ts',
  'agent/simulate/player-titles.ts',
  'agent/simulate/player-viewer.ts',
  'agent/simulate/prefetch.ts',
  'agent/simulate/series.ts',
  'agent/simulate/workload.ts',
  'agent/model/bootstrap.ts',
  'agent/model/drift.ts',
  'agent/train/graph.ts',
  'agent/train/adam.ts',
  'agent/train/autodiff.ts',
  'agent/train/protobuf.ts',
  'agent/train/random.ts',
  'agent/train/sasrec.ts',
  'agent/train/serving-graph.ts',
  'agent/prefetch/claims.ts',
  'agent/prefetch/decide.ts',
  'agent/prefetch/decisions.ts',
  'agent/prefetch/follow.ts',
  'agent/prefetch/landings.ts',
  'agent/snapshot.ts',
  'agent/prefetch/caution.ts',
  'agent/prefetch/plan.ts',
  'agent/prefetch/rendition.ts',
  'agent/prefetch/timeline.ts',
  'agent/prefetch/turn.ts',
  'agent/prefetch/usefulness.ts',
  'agent/prefetch/governor.ts',
  'agent/remember.ts',
  'agent/preview/boxes.ts',
  'agent/preview/captions.ts',
  'agent/preview/descriptor.ts',
  'agent/preview/fragments.ts',
  'agent/preview/interest.ts',
  'agent/preview/moments.ts',
  'agent/preview/promos.ts',
  'agent/preview/sidecar.ts',
  'agent/preview/keys.ts',
  'agent/preview/playlist.ts',
  'agent/preview/splice.ts',
  'agent/preview/bandit.ts',
  'agent/preview/bandit-linear.ts',
  'agent/preview/choice.ts',
  'agent/federate/privacy.ts',
  'agent/federate/accountant.ts',
  'agent/power/governor.ts',
  'agent/power/reading.ts',
  'agent/power/worth.ts',
] as const;

/** What the agent may import of the other rooms: their front doors. */
const FRONT_DOORS = ['cache/cache.ts', 'encoder/contract.ts'] as const;

type Inner = {
  readonly from: string;
  readonly may?: readonly string[];
  readonly not?: readonly string[];
  readonly asType?: readonly string[];
};

const EVENTS = ['agent/telemetry/event.ts', 'agent/telemetry/session.ts'] as const;
const MEET_IN_NODE = ['agent/prefetch/', 'agent/preview/', 'agent/federate/', 'agent/telemetry/'] as const;

/** Arrows inside the rooms. `may`: nothing of ours but this; `not`: all but this; `asType`: types of it nevertheless. */
const INNER_ARROWS: readonly Inner[] = [
  { from: 'cache/rules/', may: ['cache/rules/', 'cache/contract.ts'] },
  { from: 'cache/manifest/', may: ['cache/manifest/', 'cache/contract.ts'] },
  { from: 'cache/store/', may: ['cache/store/', 'cache/rules/', 'cache/contract.ts', 'cache/errors.ts'] },
  { from: 'encoder/plan/', may: ['encoder/plan/', 'encoder/contract.ts'] },
  { from: 'encoder/package/', may: ['encoder/package/', 'encoder/contract.ts'] },
  { from: 'encoder/report/', may: ['encoder/report/', 'encoder/plan/', 'encoder/contract.ts'] },
  { from: 'agent/predict/', may: ['agent/predict/'], asType: [...EVENTS, ...FRONT_DOORS] },
  { from: 'agent/experiment/', may: ['agent/experiment/'] },
  ...MEET_IN_NODE.map((from) => ({ from, not: MEET_IN_NODE.filter((other) => other !== from), asType: EVENTS })),
];

const under = (path: string, places: readonly string[] = []): boolean =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));

const roomOf = (path: string): string => path.split('/')[0] ?? '';

function roomArrow(from: string, link: Link, to: string): string | undefined {
  const room = roomOf(from);
  if (room === 'test' || room === roomOf(to)) return undefined;
  if (room === 'agent') {
    return under(to, FRONT_DOORS) ? undefined : `agent may import only ${FRONT_DOORS.join(' and ')} of other rooms`;
  }
  return `${room} imports nothing outside itself (${link.specifier})`;
}

function innerArrow(from: string, link: Link, to: string): string | undefined {
  const inner = INNER_ARROWS.find((arrow) => from.startsWith(arrow.from));
  if (inner === undefined) return undefined;
  const isAllowed = (inner.may === undefined || under(to, inner.may)) && !under(to, inner.not);
  if (isAllowed || (link.isType && under(to, inner.asType))) return undefined;
  return `${inner.from} may not import ${to}`;
}

/** Arrows between and inside rooms point one way. */
export function arrows(source: Source): Violation[] {
  return source.links.flatMap((link) => {
    if (link.path === undefined || link.how === 'url') return [];
    const message = roomArrow(source.path, link, link.path) ?? innerArrow(source.path, link, link.path);
    return message === undefined ? [] : [violation('arrow', { path: source.path, line: link.line }, message)];
  });
}

const PURE_BUILT_INS = /^node:(crypto|assert|assert\/strict|buffer)$/;
const IMPURE_GLOBALS = new Set([
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'process',
  'fetch',
  'console',
  'navigator',
]);
const IMPURE_NAMES = /^(randomBytes|randomUUID|randomInt|randomFill|randomFillSync|getRandomValues|webcrypto)$/;
const KEY_FIELDS = new Set(['key', 'label', 'exported', 'imported']);

/** Whether an identifier reads a variable, rather than naming a property, a label or a type. */
function isReference({ node, parent, field }: Visit): boolean {
  if (node.type !== 'Identifier' || parent === undefined) return false;
  const holder = parent.node;
  if (field === 'property' && holder.type === 'MemberExpression') return holder['computed'] === true;
  if (KEY_FIELDS.has(field)) return holder['computed'] === true;
  return !holder.type.startsWith('TS') || /^TS(As|Satisfies|NonNull)Expression$/.test(holder.type);
}

function impurity(visit: Visit): string | undefined {
  const { node } = visit;
  const callee = nodeIn(node['callee']);
  if (node.type === 'NewExpression' && nameOf(callee) === 'Date' && nodesIn(node['arguments']).length === 0) {
    return 'new Date()';
  }
  if (node.type === 'CallExpression' && nameOf(callee) === 'Date') return 'Date()';
  if (node.type === 'MemberExpression') {
    const name = `${nameOf(nodeIn(node['object']))}.${nameOf(nodeIn(node['property']))}`;
    if (name === 'Date.now' || name === 'Math.random') return name;
  }
  if (node.type === 'Identifier' && IMPURE_NAMES.test(nameOf(node))) return nameOf(node);
  return isReference(visit) && IMPURE_GLOBALS.has(nameOf(node)) ? nameOf(node) : undefined;
}

/** Pure files take clock, chance and state as arguments, and import only what is pure itself. */
export function purity(source: Source): Violation[] {
  if (!under(source.path, PURE)) return [];
  const imported = source.links.flatMap((link) => {
    const isPure =
      link.path === undefined
        ? !link.specifier.startsWith('node:') || PURE_BUILT_INS.test(link.specifier)
        : link.isType || under(link.path, PURE);
    if (isPure) return [];
    return [violation('pure', { path: source.path, line: link.line }, `a pure file imports ${link.specifier}`)];
  });
  const used = source.visits.flatMap((visit) => {
    const name = impurity(visit);
    if (name === undefined) return [];
    const at = { path: source.path, line: visit.node.loc.start.line };
    return [violation('pure', at, `a pure file uses ${name}: take it as an argument`)];
  });
  return [...imported, ...used];
}

/** Where each package, and each built-in that starts something, is known. Others may be imported nowhere. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  undici: ['cache/origin/conversation.ts', 'agent/federate/wire.ts'],
  'lru-cache': ['cache/store/memory.ts'],
  'fluent-ffmpeg': ['encoder/ffmpeg/'],
  'prom-client': ['agent/metrics.ts'],
  'onnxruntime-node': ['agent/model/child.ts', 'agent/train/graph-session.ts'],
  'node-cron': ['agent/nightly.ts'],
  'node:sqlite': ['cache/store/database.ts', 'agent/state.ts'],
  'node:worker_threads': ['cache/store/rows.ts', 'cache/store/row-thread.ts'],
  'node:child_process': [
    'run.mjs',
    'encoder/ffmpeg/',
    'agent/encoder-process.ts',
    'agent/model/runtime.ts',
    'agent/model/retrain.ts',
    'agent/commands/demo.ts',
  ],
  'node:cluster': ['cache/workers/workers.ts'],
  zod: [
    'agent/config.ts',
    'agent/config-prefetch.ts',
    'agent/config-preview.ts',
    'agent/config-schema.ts',
    'agent/model/memory.ts',
    'encoder/contract.ts',
    'encoder/contract-ladder.ts',
  ],
  yaml: ['agent/config.ts'],
  pino: ['agent/log.ts'],
  '@svta/cml-cmcd': ['agent/telemetry/cmcd.ts'],
  send: ['agent/commands/origin.ts'],
  'm3u8-parser': ['cache/manifest/'],
  'mpd-parser': ['cache/manifest/'],
};

const packageOf = (specifier: string): string =>
  specifier.startsWith('node:')
    ? specifier
    : specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');

/** A package is known in one place, so that it can be replaced in one place. */
export function packagePlaces(source: Source): Violation[] {
  if (roomOf(source.path) === 'test') return [];
  return source.links.flatMap((link) => {
    if (link.path !== undefined) return [];
    const name = packageOf(link.specifier);
    const places = PLACES[name];
    if ((places === undefined && name.startsWith('node:')) || (places !== undefined && under(source.path, places))) {
      return [];
    }
    const where = places === undefined ? 'has no place yet: give it one in PLACES' : `belongs in ${places.join(', ')}`;
    return [violation('package', { path: source.path, line: link.line }, `${name} ${where}`)];
  });
}

/** fluent-ffmpeg may sit anywhere in its folder, but in one file. */
export function oneAdapter(sources: readonly Source[]): Violation[] {
  const importers = sources
    .filter((source) => roomOf(source.path) !== 'test')
    .filter((source) => source.links.some((link) => link.specifier === 'fluent-ffmpeg'));
  return importers
    .slice(1)
    .map(({ path }) => violation('package', { path, line: 1 }, `fluent-ffmpeg is already in ${importers[0]?.path}`));
}

/** No file reaches itself through its imports; types count, since a reader follows them too. */
export function cycles(sources: readonly Source[]): Violation[] {
  const linked = new Map(
    sources.map((source) => [
      source.path,
      source.links.flatMap((link) => (link.path === undefined || link.how === 'url' ? [] : [link.path])),
    ]),
  );
  const found: Violation[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path);
    if (seenAt >= 0) {
      const circle = [...trail.slice(seenAt), path].join(' -> ');
      found.push(violation('cycle', { path, line: 1 }, circle));
      return;
    }
    if (done.has(path)) return;
    for (const next of linked.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of linked.keys()) walk(path, []);
  return found;
}
