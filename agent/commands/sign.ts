// `nearcast sign`: makes a token for a URL with a key of the configuration, to try signed URLs out.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { prefixOf, type Signing, signCat, signHmac } from '../../cache/cache.ts';
import { loadConfig } from '../config.ts';
import { AgentError } from '../errors.ts';
import { readSigning } from '../secrets.ts';
import { misused } from './ask.ts';
import type { Command, Io } from './command.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of "90s", "15m", "2h", "1d"; undefined for any other text. */
function secondsOf(text: string): number | undefined {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = UNITS[match?.[2] ?? ''];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

const text = (value: string | boolean | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

/** The signing of a host in a configuration. Rejects with AGENT_CONFIG_INVALID when it has none. */
async function signingOf(file: string, host: string, env: Io['env']): Promise<Signing> {
  const loaded = loadConfig(file);
  if (!loaded.ok)
    throw new AgentError('AGENT_CONFIG_INVALID', `${file} has problems: "nearcast check-config ${file}" lists them`);
  const index = loaded.config.hosts.findIndex(({ names }) => names.includes(host));
  const signing = await readSigning(loaded.config.hosts[index]?.signing ?? null, `hosts[${index}]`, env);
  if (signing !== undefined) return signing;
  throw new AgentError('AGENT_CONFIG_INVALID', `${file}: no host has the name "${host}" and signing`);
}

type Asked = {
  readonly url: URL;
  readonly path: string;
  readonly expiresSeconds: number;
  readonly methods: readonly string[] | undefined;
  readonly network: string | undefined;
};

function sign(signing: Signing, key: Signing['keys'][number], asked: Asked): string {
  const { url, path, expiresSeconds, methods, network } = asked;
  const isCat = signing.scheme === 'cat';
  const token = isCat
    ? signCat(
        {
          ...{ path, expiresSeconds, methods, issuer: signing.issuer ?? undefined, audience: signing.audience?.[0] },
          network: network === undefined ? undefined : prefixOf(network),
        },
        key,
      )
    : signHmac(
        {
          ...{ paths: [path], expiresSeconds },
          ...(methods === undefined ? {} : { methods }),
          ...(network === undefined ? {} : { network }),
        },
        key,
      );
  if (signing.pathPrefix !== null && signing.pathPrefix !== undefined)
    return `${url.origin}${signing.pathPrefix}${encodeURIComponent(token)}${url.pathname}${url.search}`;
  const name = isCat ? 'CAT' : (signing.name ?? 'token');
  return `${url.href}${url.search === '' ? '?' : '&'}${name}=${token}`;
}

/** `nearcast sign`. */
export const signCommand: Command = {
  name: 'sign',
  summary: 'Print a URL with a token of a host with signed URLs, to try it out',
  usage: [
    'Usage: nearcast sign URL --config FILE [--host NAME] [--expires 1h] [--prefix PATH] [--network CIDR] [--method GET,HEAD] [--key ID]',
    '',
    '  --host     the name in hosts[].names; by default that of URL',
    '  --expires  from now: 90s, 15m, 2h, 1d',
    '  --prefix   allow all below this path, such as /titles/film/, and not URL alone',
    '  --network  allow clients of this network only',
    '  --key      sign with this key; by default with the first',
  ].join('\n'),
  run: async (args, io) => {
    const string = { type: 'string' } as const;
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...{ config: { ...string, short: 'c' }, host: string, expires: string, prefix: string },
        ...{ network: string, method: string, key: string },
      },
      allowPositionals: true,
    });
    const url = URL.parse(positionals[0] ?? '');
    const lifetime = secondsOf(text(values.expires) ?? '1h');
    const network = text(values.network);
    const config = text(values.config);
    if (url === null || config === undefined) return misused(io, 'sign takes an absolute URL and --config FILE');
    if (lifetime === undefined) return misused(io, '--expires takes 90s, 15m, 2h or 1d');
    if (network !== undefined && prefixOf(network) === undefined)
      return misused(io, '--network takes an address or a prefix like 203.0.113.0/24');
    const prefix = text(values.prefix);
    if (prefix !== undefined && !url.pathname.startsWith(prefix)) return misused(io, '--prefix is no beginning of URL');
    const signing = await signingOf(resolve(io.cwd, config), text(values.host) ?? url.hostname, io.env);
    const id = text(values.key);
    const key = id === undefined ? signing.keys[0] : signing.keys.find((each) => each.id === id);
    if (key === undefined) return misused(io, `the host has no key "${id}"`);
    const signed = sign(signing, key, {
      ...{ url, network, path: prefix === undefined ? url.pathname : `${prefix}*` },
      expiresSeconds: Math.floor(Date.now() / 1000) + lifetime,
      methods: text(values.method)?.split(','),
    });
    io.stdout.write(`${signed}\n`);
    return 0;
  },
};
