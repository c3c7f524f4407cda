// The three caches of the benchmark as processes of their own on one core: this one, nginx's proxy_cache, Varnish.
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A running cache. */
export type Server = {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly stop: () => Promise<void>;
};

const NGINX = '/usr/sbin/nginx';
const VARNISH = '/usr/sbin/varnishd';
const TASKSET = '/usr/bin/taskset';
const READY_MS = 20_000;

function isThere(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not installed: the benchmark goes on without it.
  }
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

async function answers(port: number, path: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function run(name: string, port: number, command: readonly string[]): Server {
  const [file = '', ...args] = isThere(TASKSET) ? [TASKSET, '-c', '0', ...command] : command;
  // Varnish tells its whole life on standard error.
  const child: ChildProcess = spawn(file, args, {
    stdio: ['ignore', 'ignore', name === 'varnish' ? 'ignore' : 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    name,
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(force);
    },
  };
}

async function startNginx(directory: string, originPort: number): Promise<Server> {
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  await writeFile(
    file,
    `${user} daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; keepalive_requests 100000000; client_body_temp_path ${directory}/b;
  proxy_temp_path ${directory}/p; fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
  proxy_cache_path ${directory}/cache keys_zone=c:10m max_size=1g inactive=1h use_temp_path=off;
  server { listen 127.0.0.1:${port} backlog=1024; location / { proxy_pass http://127.0.0.1:${originPort}; proxy_cache c; proxy_cache_revalidate on; } } }`,
  );
  return run('nginx', port, [NGINX, '-p', directory, '-c', file]);
}

async function startVarnish(directory: string, originPort: number): Promise<Server> {
  const port = await freePort();
  const vcl = join(directory, 'bench.vcl');
  await writeFile(vcl, `vcl 4.1; backend default { .host = "127.0.0.1"; .port = "${originPort}"; }`);
  const args = ['-F', '-f', vcl, '-a', `127.0.0.1:${port}`, '-s', 'malloc,256m', '-n', join(directory, 'varnish')];
  return run('varnish', port, [
    VARNISH,
    ...args,
    '-p',
    'thread_pool_min=40',
    '-t',
    '0',
    '-p',
    'default_grace=0',
    '-p',
    'default_keep=60',
    '-j',
    'none',
  ]);
}

async function startOwn(directory: string, originPort: number): Promise<Server> {
  const port = await freePort();
  const entry = fileURLToPath(new URL('./cache.ts', import.meta.url));
  return run('nearcast', port, [
    process.execPath,
    entry,
    'serve',
    String(port),
    String(originPort),
    join(directory, 'store'),
  ]);
}

/** Starts what is installed and waits until each has answered `path`. */
export async function startServers(directory: string, originPort: number, path: string): Promise<readonly Server[]> {
  await mkdir(directory, { recursive: true });
  const servers = [await startOwn(directory, originPort)];
  if (isThere(NGINX)) servers.push(await startNginx(directory, originPort));
  if (isThere(VARNISH)) servers.push(await startVarnish(directory, originPort));
  await Promise.all(servers.map(({ port }) => answers(port, path)));
  return servers;
}
