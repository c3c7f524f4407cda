// Ends a run with one plain line, "N passed, N failed, N skipped", and under CI=true fails it for any skipped test,
// but those that need the evaluation data of ../shared where that folder is not there.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Reporter, TestCase } from 'vitest/node';

/** Tests and suites that read ../shared carry this in their names. */
const NEEDS_SHARED = '[shared]';
const shared = fileURLToPath(new URL('../../shared', import.meta.url));

export default class SkipReporter implements Reporter {
  readonly #count = { passed: 0, failed: 0, skipped: 0 };
  readonly #forbidden: string[] = [];
  readonly #noted: string[] = [];

  onTestCaseResult(test: TestCase): void {
    const result = test.result();
    const { state } = result;
    if (state === 'pending') return;
    this.#count[state] += 1;
    if (result.state === 'skipped' && result.note !== undefined) this.#noted.push(`${test.fullName}: ${result.note}`);
    const isExcused = test.fullName.includes(NEEDS_SHARED) && !existsSync(shared);
    if (state === 'skipped' && !isExcused) this.#forbidden.push(`${test.module.moduleId}: ${test.fullName}`);
  }

  onTestRunEnd(_modules: unknown, errors: readonly unknown[]): void {
    if (process.env['CI'] === 'true' && this.#forbidden.length > 0) {
      console.error(`Skipped under CI, which is a failure:\n${this.#forbidden.map((name) => `  ${name}`).join('\n')}`);
      process.exitCode = 1;
    }
    if (this.#noted.length > 0) console.log(`Skipped here:\n${this.#noted.map((line) => `  ${line}`).join('\n')}`);
    const { passed, failed, skipped } = this.#count;
    console.log(`${passed} passed, ${failed + errors.length} failed, ${skipped} skipped`);
  }
}
