// The environment of the model and training processes: they need nothing of the node's, and cannot leak what they do not
// have. Where the node keeps compiled code they find it, so that they start in a third of the time.
import { getCompileCacheDir } from 'node:module';

/** Variables for fork(). */
export function childEnvironment(): Readonly<Record<string, string>> {
  const directory = getCompileCacheDir();
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: directory };
}
