// What the cache says of itself in responses and requests: Cache-Status (RFC 9211), Via, CDN-Loop (RFC 8586).
import { splitList } from './fields.ts';

/** Why a request went forward (RFC 9211 section 2.2). */
export type Forward = 'uri-miss' | 'vary-miss' | 'miss' | 'stale' | 'request' | 'method' | 'bypass' | 'partial';

/** The members of one Cache-Status element. */
export type StatusFacts = {
  readonly hit?: boolean;
  readonly fwd?: Forward;
  readonly fwdStatus?: number;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  readonly ttlSeconds?: number;
  readonly detail?: string;
};

const TOKEN = /^[A-Za-z*][\w:/!#$%&'*+\-.^`|~]*$/;

/** The cache's name as a structured-field item: a token where it is one, else a string. */
export function nameItem(nodeId: string): string {
  return TOKEN.test(nodeId) ? nodeId : `"${nodeId.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}

/** One Cache-Status element; `name` comes from nameItem. */
export function cacheStatus(name: string, facts: StatusFacts): string {
  let text = name;
  if (facts.hit === true) text += '; hit';
  if (facts.fwd !== undefined) text += `; fwd=${facts.fwd}`;
  if (facts.fwdStatus !== undefined) text += `; fwd-status=${facts.fwdStatus}`;
  if (facts.ttlSeconds !== undefined) text += `; ttl=${facts.ttlSeconds}`;
  if (facts.stored === true) text += '; stored';
  if (facts.collapsed === true) text += '; collapsed';
  if (facts.detail !== undefined) text += `; detail=${nameItem(facts.detail)}`;
  return text;
}

/** A name that CDN-Loop and Via can carry: a token of a pseudonym. */
export function pseudonym(nodeId: string): string {
  return nodeId.replace(/[^\w.!#$%&'*+\-^`|~]/g, '-');
}

/** Whether a request has been through this node already. */
export function isLoop(cdnLoop: string | undefined, name: string): boolean {
  if (cdnLoop === undefined) return false;
  return splitList(cdnLoop).some((element) => (element.split(';')[0] ?? '').trim() === name);
}
