// The npm package http-cache-tests: its origin server and its client as processes of their own, and how it grades.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** One case of the suite. `required`: RFC 9111 demands it; `optimal`: a good cache does it; `check`: only observed. */
export type Case = {
  readonly id: string;
  readonly name: string;
  readonly kind: 'required' | 'optimal' | 'check';
  readonly group: string;
  readonly dependsOn: readonly string[];
};

/** By id: true, or the error's name and message. */
export type Answers = Readonly<Record<string, true | readonly [name: string, message: string]>>;

/** How a case ended; `dependency`: a case that it builds on did not pass. */
export type Grade = 'pass' | 'fail' | 'setup' | 'dependency' | 'untested';

const PACKAGE = dirname(fileURLToPath(import.meta.resolve('http-cache-tests/package.json')));
const READY_MS = 10_000;
/** A whole run takes about 40 s on an idle machine; most of it are the suite's own pauses. */
const CLIENT_MS = 240_000;

type RawTest = {
  readonly id: string;
  readonly name: string;
  readonly kind?: 'required' | 'optimal' | 'check';
  readonly depends_on?: readonly string[];
  readonly browser_only?: boolean;
};
type RawGroup = { readonly name: string; readonly tests: readonly RawTest[] };

/** Without the group on Surrogate-Control, a field that RFC 9213 has replaced. */
async function loadGroups(): Promise<readonly RawGroup[]> {
  const module: { readonly default: readonly RawGroup[] } = await import(
    pathToFileURL(join(PACKAGE, 'tests', 'index.mjs')).href
  );
  return module.default;
}

/** Every case that concerns a proxy. */
export async function loadCases(): Promise<readonly Case[]> {
  const groups = await loadGroups();
  return groups.flatMap(({ name: group, tests }) =>
    tests
      .filter((test) => test.browser_only !== true)
      .map(({ id, name, kind = 'required', depends_on: dependsOn = [] }) => ({ id, name, kind, group, dependsOn })),
  );
}

/** Grades one case as the suite's own report does. */
export function gradeOf(one: Case, cases: ReadonlyMap<string, Case>, answers: Answers): Grade {
  const answer = answers[one.id];
  if (answer === undefined) return 'untested';
  const isFounded = one.dependsOn.every((id) => {
    const other = cases.get(id);
    return other !== undefined && gradeOf(other, cases, answers) === 'pass';
  });
  if (!isFounded) return 'dependency';
  if (answer === true) return 'pass';
  return answer[0] === 'Setup' ? 'setup' : 'fail';
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code));
  });
}

/** Starts the suite's origin. `directory` takes its pid file. */
export async function startOrigin(
  directory: string,
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const port = await freePort();
  const child = spawn(process.execPath, [join(PACKAGE, 'server', 'server.mjs')], {
    cwd: PACKAGE,
    env: {
      npm_config_protocol: 'http',
      npm_config_port: String(port),
      npm_config_pidfile: join(directory, 'origin.pid'),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = ended(child);
  const listening = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  child.stdout.resume();
  const late = AbortSignal.timeout(READY_MS);
  const failed = new Promise<never>((_, reject) => {
    late.addEventListener('abort', () => reject(new Error('The origin of http-cache-tests did not start.')));
  });
  await Promise.race([listening, failed]);
  return {
    port,
    stop: async () => {
      child.kill('SIGTERM');
      await end;
    },
  };
}

/** Runs the suite's client in a process of its own, because it keeps its results in module scope. */
export async function ask(port: number, id: string | undefined): Promise<Answers> {
  const args = [
    fileURLToPath(new URL('./client.ts', import.meta.url)),
    String(port),
    ...(id === undefined ? [] : [id]),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: CLIENT_MS });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const code = await ended(child);
  const last = text.trimEnd().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(`The client of http-cache-tests ended with ${code}: ${text.slice(-500)}`);
  if (id !== undefined) console.log(text);
  // The client's last line is its result object.
  return JSON.parse(last) as Answers;
}

/** A fixed order that mixes the groups: all errors of the suite's origin in a row look like a broken origin. */
const scatter = (id: string): string => createHash('sha256').update(id).digest('hex');

/** What the client process does: the whole suite, or one case with every head printed. */
export async function runClient(port: number, id: string | undefined): Promise<Answers> {
  const load = async (file: string): Promise<unknown> => import(pathToFileURL(join(PACKAGE, file)).href);
  // The package has no types: this is what its client/runner.mjs exports.
  const runner = (await load('client/runner.mjs')) as {
    runTests: (groups: readonly RawGroup[], fetch: unknown, isBrowser: boolean, base: string) => Promise<void>;
    getResults: () => Answers;
  };
  // The suite's own choice of client; its default export is fetch.
  const client = (await import(createRequire(join(PACKAGE, 'cli.mjs')).resolve('node-fetch'))) as { default: unknown };
  const groups = await loadGroups();
  const tests = groups
    .flatMap((group) => group.tests)
    .filter((test) => id === undefined || test.id === id)
    .map((test) => (id === undefined ? test : { ...test, dump: true }))
    .sort((one, other) => scatter(one.id).localeCompare(scatter(other.id)));
  const asked = [{ name: 'all', tests }];
  await runner.runTests(asked, client.default, false, `http://127.0.0.1:${port}`);
  return runner.getResults();
}
