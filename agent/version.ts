// The version of this program, from its own package.json.
import { readFileSync } from 'node:fs';

/** Reads the version, such as 0.1.0. */
export function readVersion(): string {
  // package.json is this project's own file; a version that is not a string would show as such.
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
