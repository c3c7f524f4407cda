// The catalogue: what the publisher says of its titles, and where the newest package of each one lies.
import type { Title } from '../encoder/contract.ts';

/** One line of the catalogue. Only `id` must be there; what a line does not say is unknown. */
export type CatalogueTitle = {
  readonly id: string;
  readonly name?: string;
  /** URL or path of the playable manifest. */
  readonly manifestUrl?: string;
  readonly durationSeconds?: number;
  readonly series?: string;
  readonly season?: number;
  readonly episode?: number;
  /** Title that follows this one. */
  readonly nextId?: string;
  /** Milliseconds since the epoch. */
  readonly releaseAt?: number;
  readonly genres?: readonly string[];
  readonly people?: readonly string[];
  /** Purpose -> URL. */
  readonly images?: Readonly<Record<string, string>>;
};

/** The newest published package of a title. */
export type Package = {
  readonly hash: string;
  readonly title: Title;
  /** Path on the viewer listener of the package folder, with a slash at its end: `/titles/ID/HASH/`. */
  readonly baseUrl: string;
};

/** An open catalogue. Everything but append() is synchronous and answers from memory. */
export type Catalogue = {
  readonly title: (id: string) => CatalogueTitle | undefined;
  /** In the order of the file. */
  readonly titles: () => readonly CatalogueTitle[];
  /** The title that a request path belongs to, by titlePattern. */
  readonly titleOf: (path: string) => string | undefined;
  /** The newest package of a title, from publishDir/ID/latest.json; cached until that file changes. */
  readonly package: (id: string) => Package | undefined;
  /** Adds a line or replaces that of the same id, atomically. Rejects with AGENT_CATALOGUE_WRITE. */
  readonly append: (entry: CatalogueTitle) => Promise<void>;
  /** Reads the file again when it has changed; true when something is different now. */
  readonly reload: () => boolean;
  readonly stats: () => { readonly titles: number; readonly badLines: number; readonly reloads: number };
  readonly close: () => void;
};
