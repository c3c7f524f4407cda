// How the tests run: one process per file, four at once (some only watch a video play), a deadline on everything.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import SkipReporter from './reporter.ts';

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**', 'test/fault/**'],
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
