// Control calls about experiments: list, start, stop, remove, and reports as JSON or as a page.
import type { ControlCall, ControlInput, ControlReply } from './control.ts';
import { bad, type Controlled, keyOf, OFF, ok, textOf } from './control-input.ts';
import type { Experiment, Variant } from './experiment/assign.ts';
import { experimentPage, policiesPage } from './experiment/page.ts';
import type { ExperimentPlan, Experiments } from './experiments.ts';

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

function variantsOf(body: unknown): readonly Variant[] | undefined {
  const list = keyOf(body, 'variants');
  if (!Array.isArray(list)) return undefined;
  const variants = list.flatMap((item: unknown): Variant[] => {
    const [name, policy, share] = [textOf(item, 'name'), textOf(item, 'policy'), keyOf(item, 'share')];
    return name === undefined || policy === undefined || !isNumber(share) ? [] : [{ name, policy, share }];
  });
  return variants.length === list.length ? variants : undefined;
}

/** A plan of a body; text that says what is wrong with it. */
function planOf(body: unknown): ExperimentPlan | string {
  const id = textOf(body, 'id');
  const variants = variantsOf(body);
  if (id === undefined || variants === undefined)
    return 'start takes id and variants: [{ name, policy, share }, ...], the first the control';
  const numbers = {
    from: keyOf(body, 'from') ?? 0,
    to: keyOf(body, 'to') ?? 1,
    rampRatio: keyOf(body, 'rampRatio') ?? 1,
  };
  const { from, to, rampRatio } = numbers;
  if (!isNumber(from) || !isNumber(to) || !isNumber(rampRatio)) return 'from, to and rampRatio are numbers of 0 to 1';
  return { id, layer: textOf(body, 'layer') ?? 'main', from, to, rampRatio, variants };
}

function start(experiments: Experiments, { body }: ControlInput): ControlReply {
  const plan = planOf(body);
  if (typeof plan === 'string') return bad(plan);
  const problem = experiments.start(plan);
  return problem === undefined ? ok({ started: plan.id }) : { status: 409, json: { error: problem } };
}

async function report(experiments: Experiments, { query }: ControlInput): Promise<ControlReply> {
  const id = query.get('id');
  const isPage = query.get('as') === 'html';
  if (id === null) {
    const policies = await experiments.policies();
    return ok(isPage ? { html: policiesPage(policies) } : policies);
  }
  const found = await experiments.report(id);
  if (found === undefined) return { status: 404, json: { error: `there is no experiment "${id}"` } };
  return ok(isPage ? { html: experimentPage(found) } : found);
}

/** The calls. */
export function experimentCalls({ agent }: Controlled): readonly ControlCall[] {
  const of =
    (answer: (experiments: Experiments, input: ControlInput) => ControlReply | Promise<ControlReply>) =>
    async (input: ControlInput): Promise<ControlReply> =>
      agent === undefined ? OFF : answer(agent.bandits.experiments, input);
  const named = (act: 'stop' | 'remove') =>
    of((experiments, { body }) => {
      const id = textOf(body, 'id');
      if (id === undefined) return bad(`${act} takes id`);
      const isDone = experiments[act](id);
      const why = act === 'stop' ? 'runs' : 'is stopped';
      return isDone
        ? ok({ [act === 'stop' ? 'stopped' : 'removed']: id })
        : { status: 404, json: { error: `no experiment "${id}" ${why}` } };
    });
  return [
    {
      method: 'GET',
      path: '/experiments',
      answer: of((experiments) => ok({ experiments: experiments.list() satisfies readonly Experiment[] })),
    },
    { method: 'GET', path: '/experiments/report', answer: of(report) },
    { method: 'POST', path: '/experiments/start', answer: of(start) },
    { method: 'POST', path: '/experiments/stop', answer: named('stop') },
    { method: 'POST', path: '/experiments/remove', answer: named('remove') },
    {
      method: 'GET',
      path: '/priors',
      answer: async () => (agent === undefined ? OFF : ok(agent.bandits.priors())),
    },
  ];
}
