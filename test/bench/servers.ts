// The servers of the benchmark as processes of their own on one core: this node from its own command line, nginx,
// Varnish, and the leanest server that node:http allows.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A running server. */
export type Server = {
  readonly name: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly pid: number;
  /** Of this node alone: where its /metrics are, and its control socket. */
  readonly metricsPort?: number;
  readonly socket?: string;
  readonly stop: () => Promise<void>;
};

/** Where servers live, and the path that each is asked until it answers. `bodies`: what nginx serves as plain files. */
export type Place = {
  readonly directory: string;
  readonly originPort: number;
  readonly path: string;
  readonly bodies: Readonly<Record<string, Buffer>>;
  /** The origin of what is below /fill/; absent: the same as of all else. */
  readonly fillPort?: number | undefined;
};

const NGINX = '/usr/sbin/nginx';
const VARNISH = '/usr/sbin/varnishd';
const TASKSET = '/usr/bin/taskset';
const OPENSSL = '/usr/bin/openssl';
const READY_MS = 20_000;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Whether a program is installed; without one the benchmark goes on and says so. */
function isThere(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // As said.
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

async function isListening(port: number, path: string, isAlive: () => boolean): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (isAlive()) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the server has ended');
}

type Running = { readonly pid: number; readonly isAlive: () => boolean; readonly stop: () => Promise<void> };

/** Starts a server on the first core, or others; its words go to standard error unless they are too many. */
function run(command: readonly string[], stderr: 'inherit' | 'ignore', cores = '0'): Running {
  const [file = '', ...args] = isThere(TASKSET) ? [TASKSET, '-c', cores, ...command] : command;
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'ignore', stderr] });
  let isAlive = true;
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => {
      isAlive = false;
      resolve();
    }),
  );
  return {
    pid: child.pid ?? 0,
    isAlive: () => isAlive,
    stop: async () => {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(force);
    },
  };
}

/** Puts this process and what it starts from now on, the clients and the origin, on the second core. */
export function takeSecondCore(): void {
  if (isThere(TASKSET)) execFileSync(TASKSET, ['-acp', '1', String(process.pid)], { stdio: 'ignore' });
}

type Certificate = { readonly cert: string; readonly key: string };

async function makeCertificate(directory: string): Promise<Certificate | undefined> {
  if (!isThere(OPENSSL)) return undefined;
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=bench.example'];
  const names = ['-addext', 'subjectAltName=DNS:bench.example'];
  execFileSync(OPENSSL, ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { cert, key };
}

async function startNginx(place: Place, certificate: Certificate | undefined): Promise<readonly Server[]> {
  const [port, staticPort, tlsPort] = [await freePort(), await freePort(), await freePort()];
  const directory = join(place.directory, 'nginx');
  await mkdir(join(directory, 'www'), { recursive: true });
  for (const [path, body] of Object.entries(place.bodies)) await writeFile(join(directory, 'www', path), body);
  const file = join(directory, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const proxy = `proxy_pass http://127.0.0.1:${place.originPort}; proxy_cache c; proxy_cache_revalidate on;`;
  const tls =
    certificate === undefined
      ? ''
      : `server { listen 127.0.0.1:${tlsPort} ssl backlog=1024; ssl_certificate ${certificate.cert};
    ssl_certificate_key ${certificate.key}; location / { ${proxy} } }`;
  await writeFile(
    file,
    `${user} daemon off; worker_processes 1; pid ${directory}/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; sendfile on; keepalive_requests 100000000; client_body_temp_path ${directory}/b;
  proxy_temp_path ${directory}/p; fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
  proxy_cache_path ${directory}/cache keys_zone=c:10m max_size=1g inactive=1h use_temp_path=off;
  server { listen 127.0.0.1:${port} backlog=1024; location / { ${proxy} } }
  server { listen 127.0.0.1:${staticPort} backlog=1024; root ${directory}/www; }
  ${tls} }`,
  );
  const running = run([NGINX, '-p', directory, '-c', file], 'inherit');
  await isListening(port, place.path, running.isAlive);
  const server = { pid: running.pid, stop: running.stop, isTls: false };
  return [
    { name: 'nginx', port, ...server },
    { name: 'nginx static', port: staticPort, ...server },
    ...(certificate === undefined ? [] : [{ name: 'nginx tls', port: tlsPort, ...server, isTls: true }]),
  ];
}

/** An origin that costs the clients' core next to nothing, as one on another machine would: any path below /fill/ is `body`. */
export async function startFillOrigin(place: Place, body: Buffer): Promise<Server | undefined> {
  if (!isThere(NGINX)) return undefined;
  const port = await freePort();
  const directory = join(place.directory, 'fill-origin');
  await mkdir(join(directory, 'www'), { recursive: true });
  await writeFile(join(directory, 'www', 'body'), body);
  const file = join(directory, 'nginx.conf');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `${each}_temp_path ${directory}/t;`);
  await writeFile(
    file,
    `${user} daemon off; worker_processes 1; worker_priority 19; pid ${directory}/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; keepalive_requests 100000000; ${paths.join(' ')}
  server { listen 127.0.0.1:${port}; root ${directory}/www;
    location /fill/ { add_header Cache-Control max-age=600; try_files /body =404; } } }`,
  );
  const running = run([NGINX, '-p', directory, '-c', file], 'inherit', '1');
  await isListening(port, '/fill/0', running.isAlive);
  return { name: 'fill origin', port, isTls: false, pid: running.pid, stop: running.stop };
}

async function startVarnish(place: Place): Promise<Server> {
  const port = await freePort();
  const vcl = join(place.directory, 'bench.vcl');
  await writeFile(vcl, `vcl 4.1; backend default { .host = "127.0.0.1"; .port = "${place.originPort}"; }`);
  const storage = ['-s', 'malloc,256m', '-n', join(place.directory, 'varnish')];
  const parameters = ['thread_pool_min=40', 'default_grace=0', 'default_keep=60'].flatMap((each) => ['-p', each]);
  const args = ['-F', '-f', vcl, '-a', `127.0.0.1:${port}`, ...storage, ...parameters, '-t', '0', '-j', 'none'];
  // Varnish tells its whole life on standard error.
  const running = run([VARNISH, ...args], 'ignore');
  await isListening(port, place.path, running.isAlive);
  return { name: 'varnish', port, isTls: false, ...running };
}

/** What differs between the nodes under test. */
type NodeSetup = {
  readonly name: string;
  readonly ramBytes: number;
  readonly certificate?: Certificate | undefined;
  readonly workers?: number;
  /** As taskset takes them; default the first. */
  readonly cores?: string;
};

/** Starts this node as an operator would; rejects when its configuration is refused. */
export async function startNode(place: Place, setup: NodeSetup): Promise<readonly Server[]> {
  const [port, metricsPort, tlsPort] = [await freePort(), await freePort(), await freePort()];
  const directory = join(place.directory, setup.name.replaceAll(' ', '-'));
  await mkdir(directory, { recursive: true });
  const { certificate } = setup;
  const socket = join(directory, 'node.sock');
  const config = {
    version: 1,
    agent: 'off',
    listen: {
      http: `127.0.0.1:${port}`,
      ...(certificate !== undefined && { https: `127.0.0.1:${tlsPort}` }),
      workers: setup.workers ?? 1,
    },
    admin: { metrics: `127.0.0.1:${metricsPort}`, socket },
    // Above what the node can do, so that its own pace is seen.
    prefetch: { bytesPerSecond: '1GiB' },
    ...(certificate !== undefined && { tls: certificate }),
    state: { dir: join(directory, 'state') },
    origins: [
      { name: 'fill', url: `http://127.0.0.1:${place.fillPort ?? place.originPort}`, match: '/fill/' },
      { name: 'main', url: `http://127.0.0.1:${place.originPort}`, match: '/' },
    ],
    store: { ramBytes: setup.ramBytes, dirs: [{ path: join(directory, 'store'), maxBytes: 1024 ** 3 }] },
    // As the others: nothing stale unless the origin allows it.
    cache: { graceSeconds: 0 },
    log: { level: 'error' },
  };
  const file = join(directory, 'nearcast.yaml');
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config));
  const running = run([process.execPath, join(ROOT, 'run.mjs'), 'run', '--config', file], 'inherit', setup.cores);
  await isListening(port, place.path, running.isAlive);
  const server = { pid: running.pid, stop: running.stop, metricsPort, socket, isTls: false };
  return [
    { name: setup.name, port, ...server },
    ...(certificate === undefined ? [] : [{ name: `${setup.name} tls`, port: tlsPort, ...server, isTls: true }]),
  ];
}

/** Starts the entry `file` of this folder as a server on the first core. */
async function startBare(place: Place): Promise<Server> {
  const port = await freePort();
  const entry = fileURLToPath(new URL('./http.ts', import.meta.url));
  const running = run([process.execPath, entry, 'bare', String(port)], 'inherit');
  await isListening(port, place.path, running.isAlive);
  return { name: 'bare node:http', port, isTls: false, ...running };
}

/** RAM of a node that serves all from memory, and of one whose memory takes no body of a megabyte. */
const RAM_BYTES = 256 * 1024 * 1024;
const DISK_RAM_BYTES = 4 * 1024 * 1024;

/** Starts this node alone, with all in memory. */
export const startOwn = (place: Place): Promise<readonly Server[]> =>
  startNode(place, { name: 'nearcast', ramBytes: RAM_BYTES });

/** Starts this node and those other caches that are installed: nginx's proxy_cache and Varnish. */
export async function startCaches(place: Place): Promise<readonly Server[]> {
  await mkdir(place.directory, { recursive: true });
  const servers = [...(await startOwn(place))];
  if (isThere(NGINX)) servers.push(...(await startNginx(place, undefined)).slice(0, 1));
  if (isThere(VARNISH)) servers.push(await startVarnish(place));
  return servers;
}

/** Starts every server of the benchmark that is installed. A node that refuses TLS is started without it. */
export async function startServers(place: Place): Promise<readonly Server[]> {
  await mkdir(place.directory, { recursive: true });
  const certificate = await makeCertificate(place.directory);
  const ram = { name: 'nearcast', ramBytes: RAM_BYTES };
  const servers = [
    ...(await startNode(place, { ...ram, certificate }).catch(() => startNode(place, ram))),
    ...(await startNode(place, { name: 'nearcast disk', ramBytes: DISK_RAM_BYTES })),
    await startBare(place),
  ];
  if (isThere(NGINX)) servers.push(...(await startNginx(place, certificate)));
  if (isThere(VARNISH)) servers.push(await startVarnish(place));
  return servers;
}
