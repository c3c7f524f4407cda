// A chooser that does as a test says: picks one arm, with even chances, and remembers what was asked and shown.
import type { Choice, ChoiceAsked, Chooser } from '../../agent/preview/choice.ts';

/** The chooser; `pick` is a place among the arms. */
export type FakeChooser = Chooser & {
  pick: number;
  isHeldOut: boolean;
  readonly asked: readonly ChoiceAsked[];
  readonly shownArms: readonly string[];
};

/** Opens one that picks the first. */
export function openFakeChooser(): FakeChooser {
  const asked: ChoiceAsked[] = [];
  const shownArms: string[] = [];
  const arms = new WeakMap<Choice, string>();
  const chooser: FakeChooser = {
    ...{ pick: 0, isHeldOut: false, asked, shownArms },
    choose(question) {
      asked.push(question);
      const index = Math.min(chooser.pick, question.arms.length - 1);
      const propensity = 1 / question.arms.length;
      const even = question.arms.map(() => propensity);
      const { isHeldOut } = chooser;
      const choice: Choice = { index, propensity, propensities: even, expected: even, policy: 'test', isHeldOut };
      arms.set(choice, question.arms[index]?.id ?? '');
      return choice;
    },
    shown(choice) {
      if (choice.isHeldOut) return '';
      shownArms.push(arms.get(choice) ?? '');
      return `token-${shownArms.length}`;
    },
  };
  return chooser;
}
