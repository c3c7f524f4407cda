// Every query of the dashboard runs in a real Prometheus that scrapes recorded metrics under the deployed rules.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Exporter, grown, openExporter } from './exporter.ts';
import { type PrometheusServer, startPrometheus } from './prometheus-server.ts';
import { readQueries, readRuleGroups } from './queries.ts';
import { has, readText } from './tools.ts';

/** As Grafana would fill them in, with "All" chosen. */
const VARIABLES: Readonly<Record<string, string>> = { $__rate_interval: '1m', $instance: '.*', $host: '.*' };

const filledIn = (expr: string): string =>
  Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr);

const queries = readQueries();

type Dashboard = {
  readonly uid: string;
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly description?: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly datasource: { readonly uid: string } }[];
  }[];
};

describe('the dashboard', () => {
  // Its own tests below read every part of it that is used.
  const dashboard = JSON.parse(readText('deploy/grafana/nearcast.json')) as Dashboard;
  const panels = dashboard.panels.filter(({ type }) => type !== 'row');

  test('has its rows', () => {
    const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
    expect(rows).toEqual([
      'Viewers',
      'Cache',
      'Origin',
      'Prefetch',
      'Prediction',
      'Encode',
      'Preview',
      'Host',
      'Power',
    ]);
  });

  test('names every panel once, explains it, and takes the chosen data source', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    expect(panels.filter(({ description = '' }) => description.length < 10)).toEqual([]);
    const sources = new Set(panels.flatMap(({ targets = [] }) => targets.map(({ datasource }) => datasource.uid)));
    expect([...sources]).toEqual([`\${datasource}`]);
  });

  test('lays no panel over another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });

  test('uses only variables that it declares', () => {
    const declared = new Set(['__rate_interval', ...dashboard.templating.list.map(({ name }) => name)]);
    const used = queries.flatMap(({ expr }) => [...expr.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name));
    expect(used.filter((name) => !declared.has(name ?? ''))).toEqual([]);
  });
});

describe.skipIf(!has('prometheus'))('in a real Prometheus', () => {
  let exporter: Exporter;
  let prometheus: PrometheusServer;

  beforeAll(async () => {
    const pages = { '/metrics': readText('test/deploy/node.prom'), '/host': readText('test/deploy/host.prom') };
    exporter = await openExporter(pages);
    prometheus = await startPrometheus({
      nearcast: { target: exporter.target, path: '/metrics' },
      node: { target: exporter.target, path: '/host' },
    });
    // Recorded ratios need two scrapes and an evaluation behind them; the slowest tells that all is there.
    const recorded = readRuleGroups().flatMap(({ rules }) => rules.flatMap(({ record }) => record ?? []));
    for (const name of recorded) await prometheus.waitFor(name, 1);
    await prometheus.waitFor('rate(node_cpu_seconds_total[1m])', 1);
  });

  afterAll(async () => {
    await prometheus?.close();
    await exporter?.close();
  });

  test.each(queries.map(({ panel, expr, legend }) => [panel, expr, legend]))('%s: %s', async (_panel, expr, legend) => {
    const found = await prometheus.query(filledIn(expr));
    expect(found.length).toBeGreaterThan(0);
    expect(found.every(({ value }) => Number.isFinite(Number(value[1])))).toBe(true);
    for (const [, label] of legend.matchAll(/\{\{(\w+)\}\}/g))
      expect(Object.keys(found[0]?.metric ?? {})).toContain(label);
  });

  test('every rule was evaluated without an error', async () => {
    const rules = await prometheus.rules();
    expect(rules.length).toBe(readRuleGroups().flatMap((group) => group.rules).length);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  test('a wrong expression is refused, so that the queries above mean something', async () => {
    await expect(prometheus.query('rate(nearcast_sessions)')).rejects.toThrow(/range vector/);
    expect(await prometheus.query('nearcast_no_such_series')).toEqual([]);
  });
});

test('the exporter grows counters, not gauges', () => {
  const text = '# TYPE a_total counter\na_total{x="1"} 1000\n# TYPE b gauge\nb 1000\n';
  expect(grown(text, 5)).toBe('# TYPE a_total counter\na_total{x="1"} 1004.9999999999999\n# TYPE b gauge\nb 1000\n');
});
