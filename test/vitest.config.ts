// How the tests run: four processes at once (some only watch a video play), a deadline on everything. A process takes one file
// after the other, but for those that change what a process has once: its clock, its environment, its signals.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import SkipReporter from './reporter.ts';

const ALONE = [
  'test/*.test.ts',
  'test/agent/*.test.ts',
  'test/agent/{model,node}/**/*.test.ts',
  'test/e2e/**/*.test.ts',
];
const LONG = ['test/long/**', 'test/fault/**'];

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    projects: [
      { extends: true, test: { name: 'alone', include: ALONE, exclude: LONG } },
      {
        extends: true,
        test: { name: 'together', include: ['test/**/*.test.ts'], exclude: [...LONG, ...ALONE], isolate: false },
      },
    ],
    pool: 'forks',
    maxWorkers: 4,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 5_000,
    // What is waited for comes in milliseconds, or on a machine that does ten other things in seconds.
    expect: { poll: { timeout: 10_000 } },
    // Stores start a thread each: its code need not be stripped of types and compiled every time.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url)) },
    reporters: ['default', new SkipReporter()],
  },
});
