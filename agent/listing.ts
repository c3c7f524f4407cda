// The titles as players are shown them: what is ready, what is being encoded, and where its pictures are.
import type { ListedTitle } from './api.ts';
import type { Catalogue, CatalogueTitle } from './catalogue.ts';
import type { Encodes } from './encodes.ts';
import { HERE, pathOf } from './foreign.ts';
import type { Published } from './packages.ts';

/** Where a title's poster is: of its package, else as its line says, from where its manifest is; null for neither. */
function posterOf({ manifestUrl, images }: CatalogueTitle, found: Published | undefined): string | null {
  if (found !== undefined) return found.poster;
  const poster = images?.['poster'];
  const url = poster === undefined ? null : URL.parse(poster, URL.parse(manifestUrl ?? '/', HERE)?.href ?? HERE);
  if (url === null || !/^https?:$/.test(url.protocol)) return null;
  return pathOf(url.href) ?? url.href;
}

/** A title's line on the page: ready once it has a package, or at once when somebody else publishes it. */
export function listTitles(
  catalogue: Catalogue,
  encodes: Encodes | undefined,
  publishPath: string,
): readonly ListedTitle[] {
  const jobs = new Map((encodes?.list() ?? []).map((job) => [job.id, job]));
  const listed = catalogue.titles().map((title): ListedTitle => {
    const { id, name, manifestUrl, nextId, series } = title;
    const found = catalogue.published(id);
    const job = jobs.get(id);
    const url = manifestUrl ?? `${publishPath}${id}/master.m3u8`;
    const isOurs = title.source !== 'sealed' && url === `${publishPath}${id}/master.m3u8`;
    const isReady = found !== undefined || !isOurs;
    return {
      id,
      name: name ?? found?.name ?? id,
      manifestUrl: url,
      poster: posterOf(title, found),
      ...(found?.report === undefined ? {} : { report: found.report }),
      ready: isReady,
      progressRatio: isReady ? 1 : (job?.progressRatio ?? 0),
      isEncodedHere: isOurs,
      ...(isReady || job?.failure === undefined ? {} : { failure: job.failure.code }),
      ...(nextId === undefined ? {} : { nextId }),
      ...(series === undefined ? {} : { series }),
    };
  });
  const known = new Set(listed.map(({ id }) => id));
  const coming = [...jobs.values()].filter(({ id, state }) => !known.has(id) && state !== 'failed');
  return [
    ...listed,
    ...coming.map(({ id, name, progressRatio }) => ({
      id,
      name,
      manifestUrl: `${publishPath}${id}/master.m3u8`,
      poster: null,
      ready: false,
      progressRatio,
      isEncodedHere: true,
    })),
  ];
}
