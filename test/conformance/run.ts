// How well this node keeps to RFC 9111, beside nginx's proxy_cache and Varnish, by the public suite of cache tests.
// `npm run test:conformance [-- ID]`; a table, our failures, one JSON line. Fails on any deviation that is not known.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCaches } from '../bench/servers.ts';
import { type Answers, ask, type Case, type Grade, gradeOf, loadCases, startOrigin } from './suite.ts';

/** Ids of required and optimal cases that this node does not pass, each with its reason. */
const KNOWN = new URL('./deviations.json', import.meta.url);
const KINDS = ['required', 'optimal'] as const;

type Graded = { readonly name: string; readonly grades: ReadonlyMap<string, Grade>; readonly answers: Answers };

async function measure(id: string | undefined, cases: ReadonlyMap<string, Case>): Promise<readonly Graded[]> {
  const directory = await mkdtemp(join(tmpdir(), 'nearcast-conformance-'));
  try {
    const origin = await startOrigin(directory);
    const servers = await startCaches({ directory, originPort: origin.port, path: '/index.html', bodies: {} });
    try {
      const asked = id === undefined ? servers : servers.filter(({ name }) => name === 'nearcast');
      return await Promise.all(
        asked.map(async ({ name, port }) => {
          const answers = await ask(port, id);
          const grades = new Map([...cases.values()].map((one) => [one.id, gradeOf(one, cases, answers)]));
          return { name, grades, answers };
        }),
      );
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
      await origin.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function passed({ grades }: Graded, cases: readonly Case[], kind: Case['kind']): number {
  return cases.filter((one) => one.kind === kind && grades.get(one.id) === 'pass').length;
}

function printTables(all: readonly Graded[], cases: readonly Case[]): void {
  const rows = Object.fromEntries(
    KINDS.map((kind) => [
      kind,
      Object.fromEntries([
        ...all.map((graded) => [graded.name, passed(graded, cases, kind)]),
        ['of', cases.filter((one) => one.kind === kind).length],
      ]),
    ]),
  );
  console.log('Cases passed, by server:');
  console.table(rows);
  const groups = [...new Set(cases.map(({ group }) => group))].map((group) => {
    const counted = cases.filter((one) => one.group === group && one.kind !== 'check');
    const figures = all.map((graded) => [
      graded.name,
      counted.filter(({ id }) => graded.grades.get(id) === 'pass').length,
    ]);
    return [group, Object.fromEntries([...figures, ['of', counted.length]])] as const;
  });
  console.table(Object.fromEntries(groups.filter(([, { of }]) => Number(of) > 0)));
}

/** Prints what this node does not pass; gives how many of them are not in the list of known ones, or no longer fail. */
async function judge(own: Graded, cases: readonly Case[]): Promise<{ unknown: number; outdated: number }> {
  // Our own file: ids and reasons.
  const known = JSON.parse(await readFile(KNOWN, 'utf8')) as Readonly<Record<string, string>>;
  const missed = cases.filter((one) => one.kind !== 'check' && own.grades.get(one.id) !== 'pass');
  console.log('Not passed by nearcast:');
  for (const { id, kind, name } of missed) {
    const answer = own.answers[id];
    const why = Array.isArray(answer) ? `${answer[0]}: ${answer[1]}` : '';
    console.log(
      `  ${known[id] === undefined ? 'NEW  ' : 'known'} ${kind} ${own.grades.get(id)} ${id} (${name}) ${why}`,
    );
  }
  const outdated = Object.keys(known).filter((id) => !missed.some((one) => one.id === id));
  for (const id of outdated) console.log(`  passes now, take it out of deviations.json: ${id}`);
  return { unknown: missed.filter(({ id }) => known[id] === undefined).length, outdated: outdated.length };
}

const id = process.argv[2];
const cases = await loadCases();
const all = await measure(id, new Map(cases.map((one) => [one.id, one])));
const own = all.find(({ name }) => name === 'nearcast');
if (own === undefined) throw new Error('This node was not measured.');
if (id === undefined) {
  printTables(all, cases);
  const { unknown, outdated } = await judge(own, cases);
  const json: Record<string, number> = {};
  for (const graded of all) {
    for (const kind of KINDS) {
      json[graded === own ? kind : `${graded.name}_${kind}`] = passed(graded, cases, kind);
    }
  }
  for (const kind of KINDS) json[`${kind}_total`] = cases.filter((one) => one.kind === kind).length;
  console.log(JSON.stringify({ ...json, new_deviations: unknown }));
  process.exitCode = unknown + outdated > 0 ? 1 : 0;
}
