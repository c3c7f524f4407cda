// Writes the rows of one directory in transactions, and reads all of them at start. Synchronous: for a thread of its own.
import { packBlocks, rowChecksum, sealed } from './checksum.ts';
import { type Database, FORMAT_VERSION, notDatabase, openWriting } from './database.ts';

/** A row as it is written. */
export type RowPut = {
  readonly id: number;
  readonly key: string;
  readonly variant: string;
  /** Hash of the key under this directory's seed: signed 32 bits. */
  readonly hash: number;
  readonly bytes: number;
  /** Of PURPOSE_CODES. */
  readonly purpose: number;
  /** Code of the host that it was fetched for; 0: nobody's. */
  readonly host: number;
  readonly isPinned: boolean;
  readonly hits: number;
  /** Milliseconds since the epoch. */
  readonly lastUsedAt: number;
  readonly head: string;
  readonly blocks: readonly number[];
  readonly tags: readonly string[];
  /** An inline body that is not there yet. */
  readonly body: Uint8Array | undefined;
  /** Its first row; otherwise it replaces the one that is there. */
  readonly isNew: boolean;
};

/** What changes often in a row. */
export type RowUse = Pick<RowPut, 'id' | 'hits' | 'lastUsedAt' | 'isPinned'>;

/** Changes of one transaction, or a part of them; removals come first. */
export type RowChanges = {
  readonly removes: readonly number[];
  readonly puts: readonly RowPut[];
  readonly uses: readonly RowUse[];
  /** Id up to which everything has been scrubbed. */
  readonly scrubbedTo?: number;
};

/** What a database knows of itself. Counts are claims: they are used until all rows have been counted. */
export type RowFacts = {
  /** Mixed into the hash of keys, so that nobody can foresee which keys share one. */
  readonly seed: string;
  readonly objects: number;
  readonly bytes: number;
  /** The greatest id of any row; 0 without rows. */
  readonly lastId: number;
  readonly scrubbedTo: number;
};

/** Some rows, in the order of their ids, as parallel arrays. */
export type RowSlice = {
  readonly ids: Float64Array<ArrayBuffer>;
  readonly hashes: Int32Array<ArrayBuffer>;
  readonly bytes: Float64Array<ArrayBuffer>;
  readonly purposes: Uint8Array<ArrayBuffer>;
  /** Codes, below 2^48. */
  readonly hosts: Float64Array<ArrayBuffer>;
  /** 1: pinned. */
  readonly pins: Uint8Array<ArrayBuffer>;
  /** Hits, 255 at most. */
  readonly hits: Uint8Array<ArrayBuffer>;
  /** 1: used since the time that was asked for. */
  readonly recents: Uint8Array<ArrayBuffer>;
  readonly count: number;
  /** Where to go on; undefined at the end. */
  readonly next: number | undefined;
};

/** Which rows to read: ids above `after` and below `below`, not more than `limit`. */
export type RowScan = {
  readonly after: number;
  readonly below: number;
  readonly limit: number;
  /** Milliseconds since the epoch. */
  readonly recentSince: number;
};

/** Every method throws what SQLite throws. */
export class RowWriter {
  readonly #database: Database;
  readonly #statements: ReturnType<typeof prepareAll>;
  #objects = 0;
  #bytes = 0;

  /** Opens, or makes, the database; see openWriting(). */
  constructor(path: string, isSynced: boolean) {
    this.#database = openWriting(path, isSynced);
    try {
      this.#statements = prepareAll(this.#database);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  facts(): RowFacts {
    const facts = new Map(this.#statements.facts.all().map((row) => [row['name'], row['value']]));
    const number = (name: string): number => {
      const value = facts.get(name);
      if (typeof value !== 'number') throw notDatabase(`the database has no ${name}`);
      return value;
    };
    const seed = facts.get('seed');
    if (typeof seed !== 'string') throw notDatabase('the database has no seed');
    const lastId = Number(this.#statements.lastId.get()?.['id'] ?? 0);
    return { seed, objects: number('objects'), bytes: number('bytes'), lastId, scrubbedTo: number('scrubbedTo') };
  }

  /** Adds to the open transaction, or begins one. After an error nothing of the transaction is left. */
  apply(changes: RowChanges): void {
    try {
      if (!this.#database.isTransaction) this.#begin();
      for (const id of changes.removes) this.#remove(id);
      for (const put of changes.puts) this.#put(put);
      for (const { id, hits, lastUsedAt, isPinned } of changes.uses) {
        this.#statements.use.run(lastUsedAt, hits, Number(isPinned), id);
      }
      if (changes.scrubbedTo !== undefined) this.#statements.scrubbed.run(changes.scrubbedTo);
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  #begin(): void {
    this.#database.exec('BEGIN IMMEDIATE');
    this.#objects = 0;
    this.#bytes = 0;
  }

  /** Ends the transaction, if there is one: with its return it is there for ever. */
  commit(): void {
    if (!this.#database.isTransaction) return;
    try {
      if (this.#objects !== 0 || this.#bytes !== 0) this.#statements.count.run(this.#objects, this.#bytes);
      this.#database.exec('COMMIT');
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }

  #remove(id: number): void {
    const { removeObject, removeDetail, removeBody, removeTags } = this.#statements;
    const bytes = removeObject.get(id)?.['bytes'];
    if (bytes !== undefined) this.#count(-1, -Number(bytes));
    for (const statement of [removeDetail, removeBody, removeTags]) statement.run(id);
  }

  #count(objects: number, bytes: number): void {
    this.#objects += objects;
    this.#bytes += bytes;
  }

  #put(put: RowPut): void {
    const { id, key, variant, hash, bytes, purpose, host, isPinned, hits, lastUsedAt, head, body } = put;
    const { putObject, putDetail, putBody, putTag, removeTags } = this.#statements;
    const packed = packBlocks(put.blocks);
    putObject.run(id, FORMAT_VERSION, hash, bytes, purpose, Number(isPinned), hits, lastUsedAt, host);
    putDetail.run(id, key, variant, head, packed, rowChecksum(sealed(FORMAT_VERSION, put), packed));
    if (body !== undefined) putBody.run(id, body);
    if (put.isNew) this.#count(1, bytes);
    else removeTags.run(id);
    for (const tag of put.tags) putTag.run(tag, key, id);
  }

  /** Reads rows of this format; the others are left alone. */
  scan({ after, below, limit, recentSince }: RowScan): RowSlice {
    const slice = {
      ...{ ids: new Float64Array(limit), hashes: new Int32Array(limit), bytes: new Float64Array(limit) },
      ...{ purposes: new Uint8Array(limit), pins: new Uint8Array(limit), hits: new Uint8Array(limit) },
      ...{ recents: new Uint8Array(limit), hosts: new Float64Array(limit) },
    };
    let [read, count, next] = [0, 0, after];
    for (const row of this.#statements.scan.iterate(after, below, limit)) {
      // Sound: the statement gives arrays of numbers, for its columns are integers of a STRICT table.
      const [id = 0, format, hash, bytes, purpose, isPinned, hits, lastUsedAt, host] =
        row as unknown as readonly number[];
      read += 1;
      next = id;
      if (format !== FORMAT_VERSION) continue;
      slice.ids[count] = id;
      slice.hashes[count] = hash ?? 0;
      slice.bytes[count] = bytes ?? 0;
      slice.purposes[count] = purpose ?? 0;
      slice.pins[count] = isPinned ?? 0;
      slice.hits[count] = Math.min(255, hits ?? 0);
      slice.hosts[count] = host ?? 0;
      slice.recents[count] = (lastUsedAt ?? 0) >= recentSince ? 1 : 0;
      count += 1;
    }
    return { ...slice, count, next: read < limit ? undefined : next };
  }

  /** Commits, folds the log into the database and lets go. */
  close(): void {
    try {
      this.commit();
    } finally {
      this.#database.close();
    }
  }
}

function prepareAll(database: Database) {
  const scan = database.prepare(
    `SELECT id, format, hash, bytes, purpose, isPinned, hits, lastUsedAt, host FROM objects
      WHERE id > ? AND id < ? ORDER BY id LIMIT ?`,
  );
  scan.setReturnArrays(true);
  return {
    scan,
    facts: database.prepare('SELECT name, value FROM facts'),
    lastId: database.prepare('SELECT max(id) AS id FROM objects'),
    putObject: database.prepare(
      `INSERT OR REPLACE INTO objects (id, format, hash, bytes, purpose, isPinned, hits, lastUsedAt, host)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    putDetail: database.prepare(
      'INSERT OR REPLACE INTO details (id, key, variant, head, blocks, checksum) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    putBody: database.prepare('INSERT OR REPLACE INTO bodies (id, body) VALUES (?, ?)'),
    putTag: database.prepare('INSERT OR IGNORE INTO tags (tag, key, id) VALUES (?, ?, ?)'),
    use: database.prepare('UPDATE objects SET lastUsedAt = ?, hits = ?, isPinned = ? WHERE id = ?'),
    count: database.prepare(
      `UPDATE facts SET value = value + CASE name WHEN 'objects' THEN ? ELSE ? END WHERE name IN ('objects', 'bytes')`,
    ),
    scrubbed: database.prepare(`UPDATE facts SET value = ? WHERE name = 'scrubbedTo'`),
    removeObject: database.prepare('DELETE FROM objects WHERE id = ? RETURNING bytes'),
    removeDetail: database.prepare('DELETE FROM details WHERE id = ?'),
    removeBody: database.prepare('DELETE FROM bodies WHERE id = ?'),
    removeTags: database.prepare('DELETE FROM tags WHERE id = ?'),
  };
}
