// Prometheus' own tool checks configuration, rules and the rules' tests; and nothing is recorded, exported or alerted
// on that nobody reads or nobody saw fire.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { declaredIn, familiesIn, readQueries, readRuleGroups, seriesIn, shownIn } from './queries.ts';
import { has, inRepository, readText, run } from './tools.ts';

const rules = readRuleGroups().flatMap((group) => group.rules);
const alerts = rules.filter(({ alert }) => alert !== undefined);

type AlertCase = { readonly alertname: string; readonly exp_alerts?: readonly unknown[] };
type TestFile = { readonly tests: readonly { readonly alert_rule_test?: readonly AlertCase[] }[] };
const TEST_FILES = ['deploy/prometheus/rules_test.yml', 'deploy/prometheus/rules_days_test.yml'] as const;
const alertCases = TEST_FILES.flatMap((file) => {
  // promtool checks the shape when it runs the file.
  const { tests } = parse(readText(file)) as TestFile;
  return tests.flatMap((group) => group.alert_rule_test ?? []);
});

describe.skipIf(!has('promtool'))('promtool', () => {
  test.each<readonly [what: string, file: string]>([
    ['check config', 'deploy/prometheus/prometheus.yml'],
    ['check rules', 'deploy/prometheus/rules.yml'],
    ...TEST_FILES.map((file) => ['test rules', file] as const),
  ])('%s %s', (what, file) => {
    const { status, output } = run('promtool', [...what.split(' '), inRepository(file)]);
    expect(output).toContain('SUCCESS');
    expect(status, output).toBe(0);
  });
});

describe('alerts', () => {
  test.each(alerts.map((rule) => [rule.alert ?? '', rule] as const))(
    '%s says what is wrong and what to do',
    (_n, rule) => {
      expect(['critical', 'warning']).toContain(rule.labels?.['severity']);
      for (const text of ['summary', 'description', 'action']) {
        expect(rule.annotations?.[text]?.length ?? 0, text).toBeGreaterThan(20);
      }
    },
  );

  test.each(alerts.map(({ alert }) => alert))('%s has been seen firing and silent', (alert) => {
    const own = alertCases.filter(({ alertname }) => alertname === alert);
    expect(own.some(({ exp_alerts = [] }) => exp_alerts.length > 0)).toBe(true);
    expect(own.some(({ exp_alerts = [] }) => exp_alerts.length === 0)).toBe(true);
  });

  test('tests name only alerts that exist', () => {
    const known = new Set(alerts.map(({ alert }) => alert));
    expect(alertCases.filter(({ alertname }) => !known.has(alertname))).toEqual([]);
  });
});

describe('series', () => {
  const read = new Set([...rules, ...readQueries()].flatMap(({ expr }) => seriesIn(expr)));
  const recorded = rules.flatMap(({ record }) => (record === undefined ? [] : [record]));
  const exported = [...familiesIn(readText('test/deploy/node.prom')), ...familiesIn(readText('test/deploy/host.prom'))];

  test('that rules and dashboard read are exported or recorded', () => {
    const known = new Set([...exported, ...recorded]);
    expect([...read].filter((name) => !known.has(name))).toEqual([]);
  });

  test('that are recorded or exported by the node are read by somebody', () => {
    const own = exported.filter((name) => name.startsWith('nearcast_'));
    expect([...recorded, ...own].filter((name) => !read.has(name))).toEqual([]);
  });

  test('of the recorded node are those that agent/metrics*.ts declares', () => {
    const declared = declaredIn(
      readdirSync('agent')
        .filter((name) => /^metrics.*\.ts$/.test(name))
        .map((name) => readText(`agent/${name}`))
        .join('\n'),
    );
    expect(declared.length).toBeGreaterThan(30);
    expect(shownIn(readText('test/deploy/node.prom'))).toEqual(declared);
  });

  test('are found in expressions of any form', () => {
    const expr =
      'histogram_quantile(0.9, rate(nearcast_a_seconds_bucket{le="node_x"}[5m])) / instance:nearcast_b:ratio';
    expect(seriesIn(expr)).toEqual(['nearcast_a_seconds', 'instance:nearcast_b:ratio']);
  });
});
