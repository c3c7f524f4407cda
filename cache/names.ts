// What asks for the addresses of a name: the hosts file first, then name servers, which tell how long an answer counts, and
// the system's resolver for all that they do not know: search lists, multicast DNS, other databases.
import { lookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import type { LookupName, NamedAddress } from './contract.ts';

/** For one question to one name server, and how often each is asked. */
const PATIENCE = { timeout: 1_000, tries: 2 } as const;

/** Where names are asked for; each may be left out. */
export type NamesOptions = {
  /** Addresses with ports; absent: those of the system. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  /** What is asked at last; absent: the system's resolver. */
  readonly system?: LookupName;
};

/** The system's resolver, which does not tell how long an answer counts. */
const systemLookup: LookupName = (name) =>
  new Promise((resolve, reject) => {
    lookup(name, { all: true, order: 'verbatim' }, (error, found) => {
      if (error === null) {
        // Node gives the family as a number; there are but these two.
        resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })));
      } else reject(error);
    });
  });

/** Whether a hosts file (hosts(5)) names it; a file that cannot be read names nothing. */
async function isInHosts(file: string, name: string): Promise<boolean> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return false;
  }
  return text
    .split('\n')
    .some((line) => (line.split('#')[0] ?? '').trim().toLowerCase().split(/\s+/).includes(name, 1));
}

/** What name servers say; empty when they know nothing or do not answer. One family is enough. */
async function askServers(servers: readonly string[] | undefined, name: string): Promise<readonly NamedAddress[]> {
  const resolver = new Resolver(PATIENCE);
  // Of the system anew each time, since its list of servers may have changed.
  if (servers !== undefined) resolver.setServers(servers);
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  const addresses = (result: typeof four | typeof six, family: 4 | 6): readonly NamedAddress[] =>
    result.status === 'rejected' ? [] : result.value.map(({ address, ttl }) => ({ address, family, ttlSeconds: ttl }));
  return [...addresses(four, 4), ...addresses(six, 6)];
}

/** A look-up; rejects with the code of the system's resolver when nobody knows the name. */
export function lookupNames(options: NamesOptions = {}): LookupName {
  const { servers, hostsFile = '/etc/hosts', system = systemLookup } = options;
  return async (name) => {
    if (await isInHosts(hostsFile, name.toLowerCase())) return system(name);
    const found = await askServers(servers, name);
    return found.length > 0 ? found : system(name);
  };
}
