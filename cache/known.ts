// Where targets are that were asked for a short while ago, so that a request like an earlier one is not judged anew.
import type { Place } from './hosts/hosts.ts';
import type { ViewerRequest } from './listen/viewer.ts';
import { isJustFor } from './rules/request.ts';

/** Targets that are remembered; with one more all are forgotten. */
const MAX_TARGETS = 4096;
/** Longer targets are not remembered. */
const MAX_URL_BYTES = 256;

type Request = Pick<ViewerRequest, 'method' | 'url' | 'httpVersion' | 'rawHeaders'>;

/** Places by target, for one state of the table of hosts. */
export class KnownPlaces {
  readonly #places = new Map<string, { readonly authority: string; readonly place: Place }>();
  #generation: object | undefined;

  /** The place of a well-formed GET that asks for a target under the name it was learnt with. */
  find({ method, url, httpVersion, rawHeaders }: Request, generation: object): Place | undefined {
    if (generation !== this.#generation || method !== 'GET' || httpVersion !== '1.1') return undefined;
    const known = this.#places.get(url ?? '');
    return known !== undefined && isJustFor(rawHeaders, known.authority) ? known.place : undefined;
  }

  /** The place of a request that was found well-formed and that needed no rights. */
  learn(
    { url = '', httpVersion }: Request,
    authority: string | undefined,
    known: { generation: object; place: Place },
  ): void {
    if (httpVersion !== '1.1' || authority === undefined || url.length > MAX_URL_BYTES) return;
    if (known.generation !== this.#generation || this.#places.size >= MAX_TARGETS) this.#places.clear();
    this.#generation = known.generation;
    this.#places.set(url, { authority, place: known.place });
  }
}
