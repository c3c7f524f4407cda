// A real Prometheus on a free port, with the deployed configuration but for its pace and its targets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';
import { readRuleGroups } from './queries.ts';
import { readText } from './tools.ts';

/** How long the server may take to listen, and to give the first answers. */
const START_MS = 20_000;
const POLL_MS = 100;

/** One series of an answer: its labels, and its value as text. */
export type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] };

/** A running server. */
export type PrometheusServer = {
  /** Rejects with Prometheus' own words when the expression is refused. */
  readonly query: (expr: string) => Promise<readonly Sample[]>;
  /** Asks again until the answer has at least `least` series; rejects at the deadline. */
  readonly waitFor: (expr: string, least: number) => Promise<void>;
  /** Name, health and last error of every rule. */
  readonly rules: () => Promise<readonly RuleHealth[]>;
  readonly close: () => Promise<void>;
};

/** How a rule fared when it was last evaluated. */
export type RuleHealth = { readonly name: string; readonly health: string; readonly lastError?: string };

type ScrapeJob = { readonly job_name: string; readonly [key: string]: unknown };

/** `jobs`: scrape job -> the target and path that stand for it. */
async function writeConfiguration(dir: string, jobs: Readonly<Record<string, { target: string; path: string }>>) {
  // promtool checks the shape of the deployed file.
  const deployed = parse(readText('deploy/prometheus/prometheus.yml')) as { readonly scrape_configs: ScrapeJob[] };
  const rules = join(dir, 'rules.yml');
  await writeFile(rules, stringify({ groups: readRuleGroups().map((group) => ({ ...group, interval: '1s' })) }));
  const configuration = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: deployed.scrape_configs.map((job) => ({
      ...job,
      metrics_path: jobs[job.job_name]?.path,
      static_configs: [{ targets: [jobs[job.job_name]?.target] }],
    })),
  };
  const file = join(dir, 'prometheus.yml');
  await writeFile(file, stringify(configuration));
  return file;
}

/** Starts Prometheus; rejects with its last lines when it does not listen in time. */
export async function startPrometheus(
  jobs: Readonly<Record<string, { target: string; path: string }>>,
): Promise<PrometheusServer> {
  const dir = await mkdtemp(join(tmpdir(), 'nearcast-prometheus-'));
  const file = await writeConfiguration(dir, jobs);
  const child = spawn(
    'prometheus',
    [`--config.file=${file}`, `--storage.tsdb.path=${join(dir, 'data')}`, '--web.listen-address=127.0.0.1:0'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(child, 'exit');
  const said: string[] = [];
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_MS);
  let port = '';
  let isReady = false;
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    port = /msg="Listening on" address=\S+:(\d+)/.exec(line)?.[1] ?? port;
    isReady ||= line.includes('Server is ready');
    if (port !== '' && isReady) break;
  }
  clearTimeout(deadline);
  child.stderr.resume();
  const close = async () => {
    child.kill('SIGTERM');
    await exited;
    await rm(dir, { recursive: true, force: true });
  };
  if (port === '' || !isReady) {
    await close();
    throw new Error(`prometheus did not listen:\n${said.slice(-5).join('\n')}`);
  }
  return { ...ask(`http://127.0.0.1:${port}/api/v1`), close };
}

function ask(api: string): Omit<PrometheusServer, 'close'> {
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${api}${path}`, { signal: AbortSignal.timeout(5_000) });
    // The envelope of every answer of Prometheus' HTTP API.
    const { status, error, data } = (await response.json()) as { status: string; error?: string; data?: unknown };
    if (status !== 'success') throw new Error(`${decodeURIComponent(path)}: ${error}`);
    return data;
  };
  const query = async (expr: string) => {
    // An instant query of an expression that is no scalar answers with a vector.
    const { result } = (await get(`/query?query=${encodeURIComponent(expr)}`)) as { result: readonly Sample[] };
    return result;
  };
  return {
    query,
    waitFor: async (expr, least) => {
      const end = Date.now() + START_MS;
      for (;;) {
        const found = (await query(expr)).length;
        if (found >= least) return;
        if (Date.now() > end) throw new Error(`after ${START_MS} ms ${expr} has ${found} series, not ${least}`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    },
    rules: async () => {
      // The shape of /api/v1/rules.
      const { groups } = (await get('/rules')) as { groups: readonly { rules: readonly RuleHealth[] }[] };
      return groups.flatMap((group) => group.rules);
    },
  };
}
