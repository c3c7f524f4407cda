// The closed lists of names that requests, fills and refusals are counted under.

/** What a path holds, for metrics, admission and prediction. */
export const KINDS = ['manifest', 'init', 'segment', 'other'] as const;
export type Kind = (typeof KINDS)[number];

/** How a viewer's request was answered. */
export const RESULTS = ['hit', 'stale', 'revalidated', 'miss', 'pass', 'error'] as const;
export type Result = (typeof RESULTS)[number];

/** Why bytes were asked of an origin. */
export const PURPOSES = ['viewer', 'revalidate', 'in-session', 'off-peak', 'publish', 'operator'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Who goes first; viewers pre-empt everybody at once. */
export const PRIORITIES = ['viewer', 'in-session', 'off-peak'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Why a viewer was turned away: a limit of the listener, or the quota of a host. */
export const SHED_REASONS = ['connections', 'requests', 'address', 'overload', 'quota'] as const;
export type ShedReason = (typeof SHED_REASONS)[number];
