// The head of an object as JSON text in its row: written by encodeHead, read field by field by decodeHead.
import { PURPOSES, type Purpose } from '../contract.ts';
import type { Head } from './entry.ts';
import type { HeaderList, StoredObject } from './object.ts';

/** Tags of one object that are kept. */
const MAX_TAGS = 64;
/** UTF-16 code units of a tag that is kept. */
const MAX_TAG_LENGTH = 128;

/** The tags that the store keeps of those given: what is too long or too many is left out. */
export const keptTags = (tags: readonly string[]): readonly string[] =>
  tags.filter((tag) => tag.length <= MAX_TAG_LENGTH).slice(0, MAX_TAGS);

/** The head as it lies in the row; key and variant have columns of their own. */
export function encodeHead(head: Head): string {
  const { varyOn, status, headers, requestedAt, receivedAt, lengthBytes, purpose, isInvalidated, ranges, tags } = head;
  return JSON.stringify({
    ...{ varyOn, status, headers, requestedAt, receivedAt, lengthBytes, purpose, isInvalidated, ranges, tags },
  });
}

/** The inverse; undefined when the text can't be that. Unknown fields are ignored. */
export function decodeHead(key: string, variant: string, text: string): Head | undefined {
  const value = parse(text);
  if (value === undefined) return undefined;
  const { varyOn, status, requestedAt, receivedAt, lengthBytes, isInvalidated, tags = [] } = value;
  const headers = headerList(value['headers']);
  const ranges = rangeList(value['ranges']);
  const purpose = PURPOSES.find((one): one is Purpose => one === value['purpose']);
  if (headers === undefined || ranges === undefined || purpose === undefined) return undefined;
  if (!isStrings(varyOn) || !isStrings(tags)) return undefined;
  if (typeof status !== 'number' || typeof requestedAt !== 'number' || typeof receivedAt !== 'number') return undefined;
  if (typeof lengthBytes !== 'number' || typeof isInvalidated !== 'boolean') return undefined;
  const times = { requestedAt, receivedAt };
  return { key, variant, varyOn, status, headers, ...times, lengthBytes, purpose, isInvalidated, ranges, tags };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // Not JSON: not a head.
  }
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

function headerList(value: unknown): HeaderList | undefined {
  if (!Array.isArray(value)) return undefined;
  const list: [string, string][] = [];
  for (const field of value) {
    if (!isStrings(field) || field.length !== 2) return undefined;
    const [name = '', text = ''] = field;
    list.push([name, text]);
  }
  return list;
}

function rangeList(value: unknown): StoredObject['ranges'] | undefined {
  if (!Array.isArray(value)) return undefined;
  const list: [number, number][] = [];
  for (const range of value) {
    if (!Array.isArray(range) || range.length !== 2) return undefined;
    const [start, end]: unknown[] = range;
    if (typeof start !== 'number' || typeof end !== 'number') return undefined;
    list.push([start, end]);
  }
  return list;
}
