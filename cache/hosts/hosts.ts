// The hosts of a cache with their origins, as one table that can be replaced while it serves: which host a request is for,
// and under which key and at which origin it finds what it asks for.

import type { CacheOptions, HostOptions, Kind, LookupName, OriginOptions, OriginStats } from '../contract.ts';
import { CacheError } from '../errors.ts';
import type { Origin, OriginTools } from '../origin/exchange.ts';
import { type OpenOrigin, openOrigin } from '../origin/origin.ts';
import { originBase } from '../origin/origin-server.ts';
import { Resolver } from '../origin/resolver.ts';
import { authorityOf, type HostTable, hostFor, hostName, hostTable, isHostName, isHostPattern } from '../rules/host.ts';
import { keyOf, originFor, type Target, targetOf } from '../rules/key.ts';
import { kindOf } from '../rules/kind.ts';
import { originForm } from '../rules/request.ts';
import { openPrimaryOrigin } from '../workers/primary.ts';
import { type Access, openAccess } from './access.ts';
import { openPurgeDesk, type PurgeDesk, type PurgeDeskOptions } from './purge-request.ts';
import { Quota } from './quota.ts';

/** A host that answers. */
export type Host = {
  readonly names: readonly string[];
  /** Its first name, under which the store counts what is fetched for it; '' when no hosts are told apart. */
  readonly account: string;
  readonly ignored: ReadonlySet<string>;
  readonly origins: readonly Origin[];
  readonly forwardsHost: boolean;
  readonly quota: Quota;
  /** Its signed URLs; undefined: it needs no tokens. */
  readonly access: Access | undefined;
  /** Purges that its publisher asks for; undefined: nobody may. */
  readonly purgeDesk: PurgeDesk | undefined;
};

/** Where something is: its key, and the origin that it comes from. */
export type Place = {
  readonly host: Host;
  /** The name that was asked for; '' for a path alone. */
  readonly name: string;
  readonly target: Target;
  /** By the path alone. */
  readonly kind: Kind;
  readonly key: string;
  readonly origin: Origin;
};

/** A host, and the name under which it was asked for. */
export type Named = { readonly host: Host; readonly name: string };

/** Keys that a URL or a prefix of URLs covers: those that begin so, or are so, and those of any name behind a beginning. */
export type Coverage = {
  readonly keys: readonly string[];
  readonly anyName: readonly { readonly begin: string; readonly resource: string }[];
};

/** What of the cache's options makes hosts. */
export type HostsOptions = Pick<CacheOptions, 'origins' | 'hosts' | 'ignoredQuery'>;

/** What hosts need beside their options. */
export type HostsTools = OriginTools & {
  readonly lookup?: LookupName | undefined;
  /** Set in a worker: the primary's socket, behind which all its origins are. */
  readonly primary?: string | undefined;
  readonly purge: PurgeDeskOptions['purge'];
};

type Opened = { readonly options: string; readonly origin: OpenOrigin };
type State = {
  readonly origins: ReadonlyMap<string, Opened>;
  readonly hosts: readonly Host[];
  readonly table: HostTable<Host>;
  /** Set when every name is answered alike: no name has to be looked at then. */
  readonly only: Named | undefined;
};

const EVERY: HostOptions = { names: ['*'] };

function invalid(text: string): CacheError {
  return new CacheError('CACHE_OPTIONS_INVALID', text);
}

/** Refuses what cannot work together. */
function check({ origins, hosts = [] }: HostsOptions): void {
  if (origins.length === 0) throw invalid('A cache needs at least one origin.');
  const known = new Set<string>();
  for (const { name, url, backups = [] } of origins) {
    if (known.has(name) || !/^[\w.-]+$/.test(name)) throw invalid(`Origin "${name}" has no name of its own.`);
    known.add(name);
    for (const text of [url, ...backups]) originBase(name, text);
  }
  const taken = new Set<string>();
  for (const host of hosts) {
    for (const name of host.names) {
      if (taken.has(name) || !isHostPattern(name)) throw invalid(`"${name}" is no name that a host may have.`);
      taken.add(name);
    }
    const missing = host.origins?.find((name) => !known.has(name));
    if (missing !== undefined) throw invalid(`Host ${host.names[0]}: there is no origin "${missing}".`);
  }
}

/** The hosts of a cache and their origins. */
export class Hosts {
  readonly #tools: OriginTools & Pick<HostsTools, 'purge'>;
  readonly #resolver: Resolver;
  readonly #primary: string | undefined;
  #quotas: ReadonlyMap<string, Quota> = new Map();
  #state: State;
  /** No longer in use, with connections that still end. */
  readonly #retired = new Set<OpenOrigin>();

  /** Throws CACHE_OPTIONS_INVALID. */
  constructor(options: HostsOptions, { lookup, primary, ...tools }: HostsTools) {
    this.#tools = tools;
    this.#primary = primary;
    this.#resolver = new Resolver({ now: tools.now, log: tools.log, lookup });
    this.#state = this.#open(options, new Map());
  }

  #open(options: HostsOptions, before: ReadonlyMap<string, Opened>): State {
    check(options);
    const opened = options.origins.map((origin) => this.#openOrigin(origin, before.get(origin.name)));
    const origins = new Map(opened.map((each) => [each.origin.name, each]));
    const { hosts: given = [], ignoredQuery = [] } = options;
    const quotas = new Map<string, Quota>();
    const hosts = (given.length === 0 ? [EVERY] : given).map((host) => {
      // Who has used up a quota does not get it anew by a reload.
      const known = this.#quotas.get(JSON.stringify([host.names, host.quota]));
      const quota = known ?? new Quota(host.quota ?? {});
      quotas.set(JSON.stringify([host.names, host.quota]), quota);
      const names = host.origins ?? options.origins.map(({ name }) => name);
      return {
        names: host.names,
        account: given.length === 0 ? '' : (host.names[0] ?? ''),
        ignored: new Set(host.ignoredQuery ?? ignoredQuery),
        origins: names.flatMap((name) => {
          const origin = origins.get(name)?.origin;
          return origin === undefined ? [] : [origin];
        }),
        forwardsHost: host.hostHeader === 'forward',
        quota,
        ...this.#rightsOf(host),
      };
    });
    this.#quotas = quotas;
    const [every] = hosts;
    const only = given.length === 0 && every !== undefined ? { host: every, name: '' } : undefined;
    return { origins, hosts, table: hostTable(hosts), only };
  }

  #rightsOf({ signing, purgeTokens: tokens = [] }: HostOptions): Pick<Host, 'access' | 'purgeDesk'> {
    const { now, log, purge } = this.#tools;
    return {
      access: signing === undefined ? undefined : openAccess(signing, now),
      purgeDesk: tokens.length === 0 ? undefined : openPurgeDesk({ tokens, purge, now, log }),
    };
  }

  /** An origin whose options have not changed keeps its connections and what is known of its servers. */
  #openOrigin(options: OriginOptions, before: Opened | undefined): Opened {
    const text = JSON.stringify(options);
    if (before?.options === text) return before;
    const [tools, resolver] = [this.#tools, this.#resolver];
    if (this.#primary === undefined) return { options: text, origin: openOrigin(options, resolver, tools) };
    return { options: text, origin: openPrimaryOrigin(options, { socketPath: this.#primary, tools, resolver }) };
  }

  /**
   * From now on these answer; what runs ends where it began. Throws CACHE_OPTIONS_INVALID, and then nothing has changed.
   */
  replace(options: HostsOptions): void {
    const before = this.#state;
    this.#state = this.#open(options, before.origins);
    for (const [name, opened] of before.origins) {
      if (this.#state.origins.get(name) === opened) continue;
      this.#retired.add(opened.origin);
      void opened.origin.retire().then(() => this.#retired.delete(opened.origin));
    }
  }

  /** Another object after each replace(). */
  get generation(): object {
    return this.#state;
  }

  /** The host for a request; undefined when none has that name. `authority`: of Host, or of :authority in HTTP/2. */
  hostOf(target: string, authority: string | undefined): Named | undefined {
    if (this.#state.only !== undefined) return this.#state.only;
    const name = hostName(authorityOf(target, authority));
    const host = hostFor(this.#state.table, name);
    // What an origin is told must be a name, and not only what the syntax of an authority allows.
    return host === undefined || (host.forwardsHost && !isHostName(name)) ? undefined : { host, name };
  }

  /** The same as placeAt() for a viewer, who may ask the origin within the host's quota. */
  placeFor(named: Named, target: Target): Place | undefined {
    const place = this.placeAt(named, target);
    if (place === undefined || !named.host.quota.boundsOrigins) return place;
    return { ...place, origin: named.host.quota.over(place.origin) };
  }

  /** Where a host has what a target names; undefined when none of its origins serves that path. */
  placeAt({ host, name }: Named, target: Target): Place | undefined {
    const origin = originFor(host.origins, target.path);
    if (origin === undefined) return undefined;
    const key = keyOf(origin.name, target.resource);
    const place = { host, name, target, kind: kindOf(target.path), origin, key };
    // Without a name there is nothing to forward: the origin sees its own. The primary needs it to find the host.
    if (name === '' || (!host.forwardsHost && this.#primary === undefined)) return place;
    const forwarding: Origin = {
      ...origin,
      fetch: (request, sink) => origin.fetch({ ...request, headers: [...request.headers, ['host', name]] }, sink),
    };
    if (!host.forwardsHost) return { ...place, origin: forwarding };
    return { ...place, origin: forwarding, key: keyOf(`${origin.name}@${name}`, target.resource) };
  }

  /** Hosts that a URL means: the one of its authority, or each for a path alone, under a name of its own if it has one. */
  #named(url: string): readonly Named[] {
    if (authorityOf(url, undefined) !== undefined)
      return [this.hostOf(url, undefined)].filter((each) => each !== undefined);
    return this.#state.hosts.map((host) => ({ host, name: host.names.find((name) => !name.startsWith('*')) ?? '' }));
  }

  /** The place that is meant by a URL; by a path alone the first host's that has an origin for it. */
  placeOf(url: string): Place | undefined {
    const path = originForm(url);
    for (const named of this.#named(url)) {
      const place = this.placeAt(named, targetOf(path, named.host.ignored));
      if (place !== undefined) return place;
    }
    return undefined;
  }

  /** What a URL, or all that begins with it, covers; a path alone covers every host and name. */
  coverageOf(url: string, isPrefix: boolean): Coverage {
    const path = originForm(url);
    const isEvery = authorityOf(url, undefined) === undefined;
    const keys = new Set<string>();
    const anyName = new Map<string, Coverage['anyName'][number]>();
    for (const { host, name } of this.#named(url)) {
      const { path: plain, resource } = isPrefix ? { path: '', resource: path } : targetOf(path, host.ignored);
      for (const origin of isPrefix ? host.origins : host.origins.filter(({ match }) => plain.startsWith(match))) {
        if (!host.forwardsHost || isEvery || name === '') keys.add(keyOf(origin.name, resource));
        else keys.add(keyOf(`${origin.name}@${name}`, resource));
        const begin = `${origin.name}@`;
        if (host.forwardsHost && isEvery) anyName.set(`${begin} ${resource}`, { begin, resource });
      }
    }
    return { keys: [...keys], anyName: [...anyName.values()] };
  }

  stats(): readonly OriginStats[] {
    return [...this.#state.origins.values()].map(({ origin }) => origin.stats());
  }

  async close(): Promise<void> {
    const all = [...[...this.#state.origins.values()].map(({ origin }) => origin), ...this.#retired];
    await Promise.all(all.map((origin) => origin.close()));
  }
}
