// Addresses of a name as the system sees it, with its hosts file, search list and preferences, and how long they count as
// name servers say it, which the system does not tell.
import { lookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { LookupName, NamedAddress } from '../contract.ts';
import { withTtl } from '../rules/addresses.ts';

/** For one question to one name server, and how often each is asked. */
const PATIENCE = { timeout: 1_000, tries: 2 } as const;
/** How long the system's answer waits for its time to live; it must slow no connection. */
const TTL_WAIT_MS = 250;

/** Who is asked; each may be left out. */
export type NamesOptions = {
  /** Addresses with ports of name servers; absent: those of the system. */
  readonly servers?: readonly string[];
  /** Absent: the system's resolver. */
  readonly system?: LookupName;
};

/** The system's resolver. */
const systemLookup: LookupName = (name) =>
  new Promise((resolve, reject) => {
    lookup(name, { all: true, order: 'verbatim' }, (error, found) => {
      if (error === null) {
        // Node gives the family as a number; there are but these two.
        resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })));
      } else reject(error);
    });
  });

/** What name servers say; empty when they know nothing or do not answer. One family is enough. */
async function askServers(resolver: Resolver, name: string): Promise<readonly NamedAddress[]> {
  const [four, six] = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ]);
  const addresses = (result: typeof four | typeof six, family: 4 | 6): readonly NamedAddress[] =>
    result.status === 'rejected' ? [] : result.value.map(({ address, ttl }) => ({ address, family, ttlSeconds: ttl }));
  return [...addresses(four, 4), ...addresses(six, 6)];
}

/** A look-up; rejects with the system's code when it does not know the name. */
export function lookupNames({ servers, system = systemLookup }: NamesOptions = {}): LookupName {
  return async (name) => {
    // Of the system anew each time, since its list of servers may have changed.
    const resolver = new Resolver(PATIENCE);
    if (servers !== undefined) resolver.setServers(servers);
    const asked = askServers(resolver, name);
    let timer: NodeJS.Timeout | undefined;
    try {
      const found = await system(name);
      timer = setTimeout(() => resolver.cancel(), TTL_WAIT_MS);
      return withTtl(found, await asked);
    } finally {
      clearTimeout(timer);
      resolver.cancel();
    }
  };
}
