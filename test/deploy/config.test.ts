// The example configurations load without a warning, and say what their comments promise.
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadConfig } from '../../agent/config.ts';
import { inRepository, readText } from './tools.ts';

const FOLDER = 'deploy/config';
const files = readdirSync(inRepository(FOLDER));

function load(name: string) {
  const loaded = loadConfig(inRepository(`${FOLDER}/${name}`));
  if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${name}:${line} ${message}`).join('\n'));
  return loaded;
}

test.each(files)('%s loads without a warning', (name) => {
  expect(load(name).warnings).toEqual([]);
});

test('each node asks for its metrics where Prometheus looks', () => {
  const prometheus = readText('deploy/prometheus/prometheus.yml');
  for (const name of files) {
    const { host, port } = load(name).config.admin.metrics;
    expect(prometheus).toContain(`${host}:${port}`);
  }
});

test('only the plain cache runs without the agent', () => {
  expect(files.filter((name) => load(name).config.agent === 'off')).toEqual(['plain-cache.yaml']);
});

test('what a node writes lies where the unit lets it write, or where a comment asks for a drop-in', () => {
  const unit = readText('deploy/systemd/nearcast.service');
  expect(unit).toMatch(/^StateDirectory=nearcast$/m);
  expect(unit).toMatch(/ReadWritePaths=\/srv\/nearcast/);
  const places = /^\/(var\/lib|var\/cache|run|srv)\/nearcast\//;
  for (const name of files) {
    const { state, store, publish, catalogue, admin, agent } = load(name).config;
    const ofAgent = agent === 'on' ? [state.dir, publish.dir, catalogue.file] : [];
    for (const path of [admin.socket, ...store.dirs.map((dir) => dir.path), ...ofAgent]) expect(path).toMatch(places);
  }
});
