// Secrets that the configuration names: read from their file or variable when they are needed, never written anywhere.
import { readFile } from 'node:fs/promises';
import type { HostOptions } from '../cache/cache.ts';
import type { Config } from './config.ts';
import { AgentError } from './errors.ts';

type Secret = NonNullable<Config['privacy']['viewerTokenSecret']>;
type Env = Readonly<Record<string, string | undefined>>;

/** Fewer bytes can be guessed. */
const SHORTEST_BYTES = 16;

/** A secret without blanks around it. Rejects with AGENT_CONFIG_INVALID; `key` is where it stands. */
export async function readSecret(secret: Secret, key: string, env: Env): Promise<Uint8Array> {
  const text =
    'file' in secret
      ? await readFile(secret.file, 'utf8').catch((cause: unknown) => {
          throw new AgentError('AGENT_CONFIG_INVALID', `${key}: ${secret.file} cannot be read (${String(cause)})`, {
            cause,
          });
        })
      : env[secret.env];
  if (text === undefined || text.trim() === '') throw new AgentError('AGENT_CONFIG_INVALID', `${key} is empty`);
  return Buffer.from(text.trim());
}

async function readLong(secret: Secret, key: string, env: Env): Promise<Uint8Array> {
  const bytes = await readSecret(secret, key, env);
  if (bytes.length >= SHORTEST_BYTES) return bytes;
  throw new AgentError('AGENT_CONFIG_INVALID', `${key} has fewer than ${SHORTEST_BYTES} characters: draw a longer one`);
}

/** A host's signed URLs with their keys; undefined: none. Rejects as readSecret(). */
export async function readSigning(
  signing: Config['hosts'][number]['signing'],
  key: string,
  env: Env,
): Promise<HostOptions['signing']> {
  if (signing === null) return undefined;
  const keys = signing.keys.map(async ({ id, secret }, index) => ({
    id,
    secret: await readLong(secret, `${key}.signing.keys[${index}].secret`, env),
  }));
  return { ...signing, keys: await Promise.all(keys) };
}

/** The hosts as the cache takes them, their secrets read. Rejects as readSecret(). */
export function hostOptionsOf({ hosts }: Pick<Config, 'hosts'>, env: Env): Promise<readonly HostOptions[]> {
  const read = hosts.map(async ({ signing: named, purgeTokens: tokens, ...host }, index): Promise<HostOptions> => {
    const key = `hosts[${index}]`;
    const signing = await readSigning(named, key, env);
    const purgeTokens = tokens.map((token, at) => readLong(token, `${key}.purgeTokens[${at}]`, env));
    return { ...host, ...(signing === undefined ? {} : { signing }), purgeTokens: await Promise.all(purgeTokens) };
  });
  return Promise.all(read);
}
