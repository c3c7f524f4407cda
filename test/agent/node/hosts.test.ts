// Hosts and servers of an origin, through a whole node: its configuration, its metrics and what operators are told.
import { request } from 'node:http';
import { expect, test } from 'vitest';
import { renderStatus } from '../../../agent/commands/status-text.ts';
import { openFakeOrigin } from '../../fake/origin.ts';
import { openWorld } from './world.ts';

/** The status of a path under a name. */
function statusOf(port: number, path: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, path, host: '127.0.0.1', headers: { host }, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.once('error', reject);
    asked.end();
  });
}

test('names of hosts are served by a backup while the first server is gone; others get 421; operators see it', async () => {
  const backup = await openFakeOrigin();
  backup.set('/a', { body: 'from the backup', headers: { 'cache-control': 'max-age=60' } });
  const main = { name: 'main', url: 'http://127.0.0.1:1', backups: [backup.url], match: '/' };
  const world = await openWorld({ origins: [main], hosts: [{ names: ['cdn.example'], quota: { originRequests: 8 } }] });
  try {
    const { port } = world.node;
    expect(await statusOf(port, '/a', 'CDN.example:80')).toBe(200);
    expect(await statusOf(port, '/a', 'other.example')).toBe(421);
    expect(await statusOf(port, '/.nearcast/titles', 'other.example')).toBe(421);
    expect(await statusOf(port, '/.nearcast/titles', 'cdn.example')).toBe(200);
    const metrics = await world.metrics();
    expect(metrics).toMatch(/^nearcast_origin_server_errors_total\{origin="main",server="127.0.0.1:1"\} 1$/m);
    expect(metrics).toMatch(/^nearcast_origin_server_up\{origin="main",server="127.0.0.1:1"\} 1$/m);
    expect(metrics).toMatch(/^nearcast_origin_breaker_open\{origin="main",server="127.0.0.1:1"\} 0$/m);
    expect(metrics).toMatch(/^nearcast_origin_retries_total\{origin="main",kind="failover"\} 1$/m);
    expect(metrics).toMatch(/^nearcast_cache_unknown_host_requests_total 2$/m);
    const text = renderStatus(await world.ask('GET', '/status'));
    expect(text).toMatch(new RegExp(`main {2}127\\.0\\.0\\.1:${backup.port} +up, 1 requests, 0 failed`));
    const explained = await world.ask('GET', `/explain?url=${encodeURIComponent('http://cdn.example/a')}`);
    expect(JSON.stringify(explained)).toMatch(/"origin":"main"/);
  } finally {
    await world.close();
    await backup.close();
  }
});
