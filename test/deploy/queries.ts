// What the deployed rules and the dashboard ask of Prometheus, read from their files.
import { parse } from 'yaml';
import { readText } from './tools.ts';

/** A rule of rules.yml: either `record` or `alert` is set. */
export type Rule = {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** A group of rules.yml. */
export type RuleGroup = { readonly name: string; readonly interval?: string; readonly rules: readonly Rule[] };

/** The groups of rules.yml; promtool checks the file's shape. */
export function readRuleGroups(): readonly RuleGroup[] {
  // The shape is checked by promtool in prometheus.test.ts.
  const { groups } = parse(readText('deploy/prometheus/rules.yml')) as { readonly groups: readonly RuleGroup[] };
  return groups;
}

/** A query of the dashboard, and where it stands. */
export type Query = { readonly panel: string; readonly expr: string; readonly legend: string };

type Panel = {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  readonly panels?: readonly Panel[];
};

/** Every panel of the dashboard, those inside collapsed rows too. */
function readPanels(): readonly Panel[] {
  // The dashboard is our own file in Grafana's schema; grafana.test.ts checks the parts that are read here.
  const { panels } = JSON.parse(readText('deploy/grafana/nearcast.json')) as { readonly panels: readonly Panel[] };
  return panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

/** Every query of the dashboard. */
export function readQueries(): readonly Query[] {
  return readPanels().flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ panel: title, expr, legend: legendFormat })),
  );
}

/** Names of the series that an expression reads, without the histogram's endings. */
export function seriesIn(expr: string): readonly string[] {
  const names =
    expr.replaceAll(/"[^"]*"/g, '').match(/\b[a-z_]*:?(?:nearcast|process|nodejs|node)_[a-zA-Z0-9_:]+/g) ?? [];
  return names.map((name) => (name.includes(':') ? name : name.replace(/_(bucket|sum|count)$/, '')));
}

/** Names of the metric families in a text of the exposition format. */
export function familiesIn(text: string): readonly string[] {
  return [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name ?? '');
}

/** One metric as a node exports it: its type, and the names of its labels in alphabetical order. */
export type Exported = { readonly name: string; readonly type: string; readonly labels: readonly string[] };

const byName = (a: Exported, b: Exported): number => a.name.localeCompare(b.name);

/** What agent/metrics.ts and its parts declare, read from their text: the tables there are data. */
export function declaredIn(text: string): readonly Exported[] {
  const entry = /name: '(nearcast_\w+)',\s*(?:type: '(\w+)',\s*)?labels: \[([^\]]*)\]/g;
  return [...text.matchAll(entry)]
    .map(([, name = '', type = 'histogram', labels = '']) => ({
      name,
      type,
      labels: [...labels.matchAll(/'(\w+)'/g)].map(([, label = '']) => label).sort(),
    }))
    .sort(byName);
}

/** What a text of the exposition format shows of the node's own metrics. */
export function shownIn(text: string): readonly Exported[] {
  return [...text.matchAll(/^# TYPE (nearcast_\w+) (\w+)$/gm)]
    .map(([, name = '', type = '']) => {
      const [, series = ''] = new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? `, 'm').exec(text) ?? [];
      const labels = [...series.matchAll(/(\w+)="/g)].map(([, label = '']) => label);
      return { name, type, labels: labels.filter((label) => label !== 'le').sort() };
    })
    .sort(byName);
}
