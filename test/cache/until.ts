// Waits for what has no event to wait for.

/** Resolves in the turn of the event loop in which `isSo` holds; the test's own deadline ends the wait. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(setImmediate);
}
