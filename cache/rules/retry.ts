// When a request that failed may be sent again: a budget as a share of all requests, how long to wait before, and which
// server comes next.

/** What is left of a budget; a value, never changed in place. */
export type Budget = {
  readonly tokens: number;
  /** Milliseconds since the epoch of the last change. */
  readonly at: number;
};

/**
 * Retries per request, on the mean: the 10 % of Beyer et al., Site Reliability Engineering (2016), chapter 21. gRPC
 * (proposal A6) and Finagle (RetryBudget) bound theirs in the same way.
 */
export const RETRIES_PER_REQUEST = 0.1;
/** Retries that even an origin which is hardly asked may have. */
export const RESERVE = 3;
/** In this time an empty reserve is full again. */
export const RESERVE_MS = 10_000;
/** What a busy origin may save up. */
const MOST = 100;

/** A budget at the start. */
export function openBudget(nowMs: number): Budget {
  return { tokens: RESERVE, at: nowMs };
}

function refilled({ tokens, at }: Budget, nowMs: number): Budget {
  const grown = tokens + (Math.max(0, nowMs - at) / RESERVE_MS) * RESERVE;
  return { tokens: Math.max(tokens, Math.min(RESERVE, grown)), at: nowMs };
}

/** The budget after a request that is no retry. */
export function afterRequest(budget: Budget, nowMs: number): Budget {
  const { tokens } = refilled(budget, nowMs);
  return { tokens: Math.min(MOST, tokens + RETRIES_PER_REQUEST), at: nowMs };
}

/** The budget after a retry; undefined when there is nothing left for one. */
export function afterRetry(budget: Budget, nowMs: number): Budget | undefined {
  const { tokens } = refilled(budget, nowMs);
  return tokens < 1 ? undefined : { tokens: tokens - 1, at: nowMs };
}

/** The longest pause before a retry at a server that failed. */
const LONGEST_PAUSE_MS = 50;

/** Milliseconds before a retry; `jitter` 0..1 spreads those that failed together over all of the longest pause. */
export function retryPauseMs(jitter: number): number {
  return LONGEST_PAUSE_MS * jitter;
}

/** What is known of a server when one is chosen. */
export type ServerState = {
  /** `probe`: open, and the next request may go as its probe. */
  readonly breaker: 'closed' | 'probe' | 'open';
  /** One more request may begin at once. */
  readonly hasRoom: boolean;
  /** The checks of its health do not say otherwise. */
  readonly isUp: boolean;
  /** Failures since its last good answer. */
  readonly failures: number;
};

function canBegin({ breaker, hasRoom, isUp }: ServerState): boolean {
  return isUp && breaker === 'closed' && hasRoom;
}

/** Whether nothing speaks against a server, so that going on there is no retry that a budget has to bound. */
export function isWell(state: ServerState): boolean {
  return canBegin(state) && state.failures === 0;
}

/**
 * The server that is asked next, by its index: the first that may begin at once; else the first whose breaker lets
 * through; else one that only the checks hold to be down, since checks that fail everywhere say more of themselves (as
 * the panic threshold of Envoy). Undefined: all are open.
 */
export function chooseServer(states: readonly ServerState[]): number | undefined {
  for (const suits of [canBegin, ({ isUp, breaker }: ServerState) => isUp && breaker !== 'open', mayBeAsked]) {
    const index = states.findIndex(suits);
    if (index >= 0) return index;
  }
  return undefined;
}

function mayBeAsked({ breaker }: ServerState): boolean {
  return breaker !== 'open';
}

/**
 * Servers whose breaker wants a probe though another one is asked: they get a copy of the request whose answer nobody
 * waits for, so that no viewer pays for the question whether a black hole is still one.
 */
export function probesBeside(states: readonly ServerState[], chosen: number | undefined): readonly number[] {
  return [...states.keys()].filter((index) => {
    const state = states[index];
    return index !== chosen && state !== undefined && state.isUp && state.breaker === 'probe';
  });
}
