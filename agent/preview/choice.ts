// What previews, artwork and ad slots ask of whoever chooses among their arms, in types.

/** One arm on offer; features in the space of descriptor.ts. */
export type OfferedArm = { readonly id: string; readonly features: Float64Array };

/** A question. `context`: the viewer's taste in the same space; absent without consent. The first arm is the default. */
export type ChoiceAsked = {
  readonly slot: 'preview' | 'artwork' | 'ad';
  readonly titleId: string;
  readonly context?: Float64Array;
  readonly arms: readonly OfferedArm[];
  readonly sid?: string;
};

/** An answer; arrays are in the order of the arms. */
export type Choice = {
  readonly index: number;
  readonly propensity: number;
  readonly propensities: readonly number[];
  readonly policy: string;
  /** The viewer is one of those who are shown nothing, so that what previews change can be told. */
  readonly isHeldOut: boolean;
  /** Reward that is expected of each arm, 0..1. */
  readonly expected: readonly number[];
};

/** Who chooses. */
export type Chooser = {
  /** Counts nothing, so that a choice may be made ahead of a request and thrown away. */
  readonly choose: (asked: ChoiceAsked) => Choice;
  /**
   * The choice goes out now, or the viewer is held out: it is logged and counted. Gives the token that the player sends
   * back, '' for who is held out. Once for a choice.
   */
  readonly shown: (choice: Choice) => string;
};
