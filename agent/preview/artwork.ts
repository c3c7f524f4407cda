// Which picture stands for a title: its poster or one of the stills that were made with it, by the viewer's taste, each in
// several widths that exist.
import type { Title } from '../../encoder/contract.ts';
import { attempt, type Budget } from './budget.ts';
import type { Choice, Chooser } from './choice.ts';
import type { Answer, Decider, Reason } from './decide.ts';
import { type Features, meanFeatures, NO_FEATURES, sharedTraits, shotFeatures, vectorOf } from './descriptor.ts';
import type { Published } from './playlist.ts';
import type { Overrides } from './sidecar.ts';

/** A picture in one width; absent where it is not known. */
type Picture = { readonly url: string; readonly width?: number; readonly height?: number };

/** A picture that may stand for a title, widest first; `features` of the shot that it shows. */
export type Variant = {
  readonly id: string;
  readonly pictures: readonly [Picture, ...Picture[]];
  readonly features: Features;
};

/** What was chosen, or why nothing was. */
export type ArtworkChoice =
  | {
      readonly variant: Variant;
      readonly choice: Choice | undefined;
      readonly answer: Exclude<Answer, 'none'>;
      readonly reason: Reason;
      readonly traits: readonly string[];
    }
  | { readonly status: 404 | 409 | 503; readonly reason: Reason };

/** Pictures that the publisher's catalogue names, by their names; the poster is `poster`. */
export type ImagesOf = (titleId: string) => Readonly<Record<string, string>> | undefined;

const MOST_TRAITS = 2;
/** A title has so many variants at most, its poster included. */
const MOST_VARIANTS = 12;

/** The variants of a package, its poster first: the default. */
function packageVariants({ title, baseUrl }: Published, overrides?: Overrides): readonly Variant[] {
  const shots = shotFeatures(title);
  const mean = meanFeatures(shots.map((features, at) => ({ features, weight: title.shots[at]?.durationSeconds ?? 0 })));
  const poster: Variant = {
    id: 'poster',
    pictures: [{ url: baseUrl + title.images.poster }],
    features: mean ?? NO_FEATURES,
  };
  const stills = (title.images.artwork ?? []).flatMap(({ id, shot, files }): Variant[] => {
    const [first, ...rest] = files.map(({ url, width, height }) => ({ url: baseUrl + url, width, height }));
    if (first === undefined || overrides?.withoutArtwork.includes(id) === true) return [];
    return [{ id, pictures: [first, ...rest], features: shots[shot] ?? NO_FEATURES }];
  });
  return [poster, ...stills].slice(0, MOST_VARIANTS);
}

/** The variants that a catalogue names: nothing is known of what they show. */
function cataloguedVariants(images: Readonly<Record<string, string>>): readonly Variant[] {
  const named = Object.entries(images).filter(([, url]) => /^(?:https?:\/)?\/[^\s"']+$/.test(url));
  const sorted = named.toSorted(([a], [b]) => Number(b === 'poster') - Number(a === 'poster'));
  return sorted.slice(0, MOST_VARIANTS).map(([id, url]) => ({ id, pictures: [{ url }], features: NO_FEATURES }));
}

/** `srcset` of HTML: every width that is known, widest first; empty without any. */
export function srcsetOf({ pictures }: Variant): string {
  return pictures.flatMap(({ url, width }) => (width === undefined ? [] : [`${url} ${width}w`])).join(', ');
}

/** The smallest picture that is at least so wide; the widest where none is. */
export function pictureFor({ pictures }: Variant, width: number | undefined): Picture {
  const rising = [...pictures].reverse();
  return rising.find((picture) => (picture.width ?? 0) >= (width ?? Number.POSITIVE_INFINITY)) ?? pictures[0];
}

/** What choosing needs. */
export type ArtworkOptions = {
  readonly decider: Decider;
  readonly bandit: Chooser;
  readonly imagesOf: ImagesOf;
  readonly variantsOf: ReturnType<typeof openVariants>;
};

/** Chooses for one viewer within the budget; the default where taste or choice is late. */
export async function chooseArtwork(
  { decider, bandit, imagesOf, variantsOf }: ArtworkOptions,
  { titleId, sid }: { readonly titleId: string; readonly sid?: string | undefined },
  budget: Budget,
): Promise<ArtworkChoice> {
  const taste = sid === undefined ? Promise.resolve(undefined) : attempt(() => decider.tasteOf(sid));
  const found = await decider.find(titleId, budget);
  if (found === 'package-late' || found === 'package-failed') return { status: 503, reason: found };
  const images = imagesOf(titleId);
  if (found === undefined && images === undefined) return { status: 404, reason: 'unknown' };
  const variants = found?.state === 'ready' ? variantsOf(found) : cataloguedVariants(images ?? {});
  const [standard] = variants;
  if (standard === undefined) return { status: 409, reason: 'pending' };
  const tasted = await budget.by('taste', taste);
  const context = tasted.ended === 'value' ? tasted.value?.features : undefined;
  const byDefault = { variant: standard, choice: undefined, answer: 'default', traits: [] } as const;
  if (budget.leftMs() === 0) return { ...byDefault, reason: 'choice-late' };
  let choice: Choice;
  try {
    choice = bandit.choose({
      ...{ slot: 'artwork', titleId },
      arms: variants.map(({ id, features }) => ({ id, features: vectorOf(features) })),
      ...(context === undefined ? {} : { context: vectorOf(context) }),
      ...(sid === undefined ? {} : { sid }),
    });
  } catch {
    return { ...byDefault, reason: 'choice-failed' }; // Counted as that.
  }
  if (choice.isHeldOut) return { ...byDefault, choice, reason: 'holdout' };
  const variant = variants[choice.index] ?? standard;
  if (variants.length === 1) return { ...byDefault, choice, reason: 'one-cut' };
  if (context === undefined) {
    const reason = tasted.ended === 'value' ? 'no-history' : (`taste-${tasted.ended}` as const);
    return { variant, choice, answer: 'cohort', reason, traits: [] };
  }
  const others = variants.map(({ features }) => features);
  const traits = sharedTraits(variant.features, { taste: context, others, most: MOST_TRAITS });
  return { variant, choice, answer: 'personal', reason: 'chosen', traits };
}

/** Remembers the variants of each package, by identity of its title and of what its operator says. */
export function openVariants(): (
  found: Published & { readonly overrides?: Overrides | undefined },
) => readonly Variant[] {
  const known = new WeakMap<Title, { readonly overrides: Overrides | undefined; readonly list: readonly Variant[] }>();
  return ({ title, baseUrl, overrides }) => {
    const before = known.get(title);
    if (before !== undefined && before.overrides === overrides) return before.list;
    const list = packageVariants({ title, baseUrl }, overrides);
    known.set(title, { overrides, list });
    return list;
  };
}
