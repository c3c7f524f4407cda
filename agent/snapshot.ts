// Small documents that outlive the process: JSON objects that say their version. Pure.

/** The fields of a snapshot of this version; undefined for none, for another version, and for what cannot be read. */
export function readSnapshot(json: string | undefined, version: number): Readonly<Record<string, unknown>> | undefined {
  try {
    const saved: unknown = json === undefined ? undefined : JSON.parse(json);
    const isOurs = typeof saved === 'object' && saved !== null && 'version' in saved && saved.version === version;
    return isOurs ? { ...saved } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
