// How the long fault tests run: one at a time, with minutes to do it.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import SkipReporter from '../reporter.ts';

// biome-ignore lint/style/noDefaultExport: vitest reads its configuration from the default export.
export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  test: {
    include: ['test/fault/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 60_000,
    teardownTimeout: 5_000,
    reporters: ['default', new SkipReporter()],
  },
});
