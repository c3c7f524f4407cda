// Where a request enters: refused when it is malformed, of an unknown host, without a right or one too many, handed to
// who else answers it, or else placed.

import type { CacheOptions, Route } from './contract.ts';
import { answerPlainly } from './deliver/deliver.ts';
import { admit } from './hosts/access.ts';
import type { Host, Hosts, Named, Place } from './hosts/hosts.ts';
import { isPurgeRequest } from './hosts/purge-request.ts';
import { KnownPlaces } from './known.ts';
import type { ViewerRequest, ViewerResponse } from './listen/viewer.ts';
import { answerRoute, routeFor } from './routes.ts';
import { targetOf } from './rules/key.ts';
import { malformed, originForm } from './rules/request.ts';
import type { Counters } from './stats.ts';
import type { Role } from './workers/tier.ts';

/** What requests are placed by. */
export type ReceptionParts = {
  readonly options: CacheOptions;
  readonly hosts: Hosts;
  readonly counters: Counters;
  readonly remoteHash: (request: ViewerRequest) => string;
  readonly role: Role;
};

/** Places the requests of one listener. */
export class Reception {
  readonly #parts: ReceptionParts;
  readonly #counters: Counters;
  readonly #routes: readonly Route[];
  readonly #known = new KnownPlaces();
  readonly #tell: (denial: string) => string;

  /** `tell`: the Cache-Status of a request that was denied. */
  constructor(parts: ReceptionParts, tell: (denial: string) => string) {
    this.#parts = parts;
    this.#counters = parts.counters;
    this.#routes = parts.options.routes ?? [];
    this.#tell = tell;
  }

  /** Where a request finds what it asks for; undefined when it is being answered otherwise. */
  receive(request: ViewerRequest, response: ViewerResponse): Place | undefined {
    const known = this.#known.find(request, this.#parts.hosts.generation);
    if (known === undefined) return this.#judge(request, response);
    return this.#isWithinQuota(response, known.host) ? known : undefined;
  }

  /** What a request asks for, unless it is refused or somebody else answers it. */
  #judge(request: ViewerRequest, response: ViewerResponse): Place | undefined {
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    const fault = malformed({ method, url, httpVersion, rawHeaders });
    if (fault !== undefined) {
      this.#refuseMalformed(response, fault);
      return undefined;
    }
    const { hosts, role } = this.#parts;
    const named = hosts.hostOf(url, request.headers.host);
    if (named === undefined) {
      this.#counters.unknownHosts += 1;
      answerPlainly(response, 421, 'This node does not answer for that name.');
      return undefined;
    }
    const asked = originForm(url);
    const { purgeDesk } = named.host;
    const isPurge = purgeDesk !== undefined && isPurgeRequest(request, asked);
    // A worker passes purges on; it has judged its viewers, so that the primary need not.
    if (isPurge && role !== 'worker') {
      purgeDesk({ request, response }, { name: named.name, resource: asked });
      return undefined;
    }
    const isJudged = isPurge || role === 'primary';
    const resource = isJudged ? asked : this.#admit(request, response, { named, resource: asked });
    if (resource === undefined) return undefined;
    const target = targetOf(resource, named.host.ignored);
    const route = this.#routes.length === 0 ? undefined : routeFor(this.#routes, target.path);
    if (route !== undefined) {
      const tools = { counters: this.#counters, log: this.#parts.options.log, remoteHash: this.#parts.remoteHash };
      void answerRoute(route, { request, response, url: resource }, tools);
      return undefined;
    }
    if (!this.#isWithinQuota(response, named.host)) return undefined;
    const place = hosts.placeFor(named, target);
    if (place === undefined) {
      answerPlainly(response, 404, 'No origin serves this path.');
      return undefined;
    }
    const { generation } = hosts;
    if (named.host.access === undefined && resource === url) {
      this.#known.learn(request, request.headers.host, { generation, place });
    }
    return place;
  }

  /** Takes a request of a host in; one too many is answered here. */
  #isWithinQuota(response: ViewerResponse, host: Host): boolean {
    const seconds = this.#parts.role === 'primary' ? 0 : host.quota.enter();
    if (seconds === 0) return true;
    this.#counters.shed.quota += 1;
    response.setHeader('retry-after', seconds);
    answerPlainly(response, 429, 'Too many requests for this host.');
    return false;
  }

  /** What is asked for, its token taken away; undefined when it was refused. This node's own routes need no token. */
  #admit(
    request: ViewerRequest,
    response: ViewerResponse,
    { named, resource }: { readonly named: Named; readonly resource: string },
  ): string | undefined {
    const { access } = named.host;
    if (access === undefined || routeFor(this.#routes, resource.split('?', 1)[0] ?? '') !== undefined) return resource;
    return admit({ request, response }, access(request, resource, named.name), (denial) => {
      this.#counters.denied[denial] += 1;
      return this.#tell(denial);
    });
  }

  #refuseMalformed(response: ViewerResponse, fault: string): void {
    this.#counters.malformed += 1;
    response.shouldKeepAlive = false;
    answerPlainly(response, 400, `The request has ${fault}.`);
    // What follows on this connection can't be trusted to be a request.
    response.socket?.destroySoon();
  }
}
