#!/usr/bin/env node
// Runs an entry on a Node that strips types. Plain JavaScript, so that any Node from 20 on can start it.
// `node run.mjs [--entry=FILE] ARGS...`; without --entry the entry is the command line, agent/main.ts.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The oldest Node whose type stripping this project was tested on. */
const OLDEST = [24, 12];

const root = dirname(fileURLToPath(import.meta.url));
const first = process.argv[2] ?? '';
const hasEntry = first.startsWith('--entry=');
const entry = hasEntry ? resolve(root, first.slice('--entry='.length)) : join(root, 'agent', 'main.ts');
const args = process.argv.slice(hasEntry ? 3 : 2);

function isNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

/** The Node that package.json pins for this platform, or undefined where npm could not install it. */
function pinnedNode() {
  const binary = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  return existsSync(binary) ? binary : undefined;
}

function runOn(binary) {
  const child = spawn(binary, [fileURLToPath(import.meta.url), `--entry=${entry}`, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`nearcast: cannot start ${binary}: ${error.message}`);
    process.exit(78);
  });
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
}

if (isNewEnough()) {
  module.enableCompileCache?.();
  process.argv.splice(1, process.argv.length - 1, entry, ...args);
  await import(pathToFileURL(entry).href);
} else {
  const binary = pinnedNode();
  if (binary === undefined) {
    console.error(
      `nearcast: this is Node ${process.versions.node}; it needs Node ${OLDEST.join('.')} or newer, ` +
        `and the pinned one for ${process.platform}-${process.arch} is not in node_modules. Run "npm ci" or install Node 24.`,
    );
    process.exit(78);
  }
  runOn(binary);
}
