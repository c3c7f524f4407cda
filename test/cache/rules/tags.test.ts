// Names of stored responses: structured lists by RFC 9651, groups by RFC 9875, tags, and their bounds.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  describeName,
  groupKey,
  groupsInvalidatedBy,
  isGroupName,
  isInternalField,
  isTagName,
  namesOf,
  stringsOf,
  tagKey,
} from '../../../cache/rules/tags.ts';

describe('RFC 9651 section 4.2.1: a list of strings', () => {
  test.each<[lines: readonly string[], strings: readonly string[] | undefined]>([
    [['"a"'], ['a']],
    [['"a", "b"'], ['a', 'b']],
    [
      ['"a"', '"b"'],
      ['a', 'b'],
    ],
    [['  "a"\t,\t"b"  '], ['a', 'b']],
    [['"a,b", "c\\"d\\\\e"'], ['a,b', 'c"d\\e']],
    [['"a";x=1;y="z";q=?0;t=tok;b=:YQ==:;n=1.5, "b";v'], ['a', 'b']],
    [['""'], ['']],
    [[], []],
    [[''], []],
    [['"a",'], undefined],
    [['"a",,"b"'], undefined],
    [[',"a"'], undefined],
    [['"a" "b"'], undefined],
    [['token'], undefined],
    [['"a", token'], undefined],
    [['"a", 1'], undefined],
    [['("a" "b")'], undefined],
    [['"a'], undefined],
    [['"ä"'], undefined],
    [['"a\\b"'], undefined],
    [['"a";X=1'], undefined],
    [['"a" ;x=1'], undefined],
    [[`"${'a'.repeat(20_000)}"`], undefined],
  ])('%j', (lines, strings) => {
    expect(stringsOf(lines)).toEqual(strings);
  });

  test('what is written as strings reads back', () => {
    const text = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 20 }), (strings) => {
        const written = strings.map((each) => `"${each.replace(/["\\]/g, '\\$&')}"`).join(', ');
        expect(stringsOf([written])).toEqual(strings);
      }),
    );
  });

  test('any text ends in a list or in nothing, soon', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 200 }), { maxLength: 4 }), (lines) => {
        const found = stringsOf(lines);
        expect(found === undefined || Array.isArray(found)).toBe(true);
      }),
    );
    const startedAt = performance.now();
    stringsOf([`"a"${';a'.repeat(8000)}`]);
    stringsOf([`"${'\\"'.repeat(8000)}`]);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe('names of a response', () => {
  test.each<[name: string, headers: [string, string][], names: string[]]>([
    ['none', [['content-type', 'video/mp4']], []],
    ['tags by comma', [['cache-tag', 'news, title-7,,  x']], ['t:news', 't:title-7', 't:x']],
    ['keys by space', [['surrogate-key', 'news  title-7']], ['t:news', 't:title-7']],
    ['several lines, and each name once', [...tags('a,b'), ...tags('b,c')], ['t:a', 't:b', 't:c']],
    ['case counts', tags('News,news'), ['t:News', 't:news']],
    ['a tag with a space is none', tags('a b,c'), ['t:c']],
    ['groups before tags', [...tags('a'), ['cache-groups', '"g 1", "g"']], ['g:g 1', 'g:g', 't:a']],
    ['a group and a tag of one name', [...tags('a'), ['cache-groups', '"a"']], ['g:a', 't:a']],
    ['groups that are no list of strings count for nothing', [...tags('a'), ['cache-groups', '"b", c']], ['t:a']],
    ['too long is left out, not cut', tags(`${'x'.repeat(127)},${'y'.repeat(126)}`), [`t:${'y'.repeat(126)}`]],
    ['a field beyond all measure counts for nothing', tags('a,'.repeat(10_000)), []],
  ])('%s', (_name, headers, names) => {
    expect(namesOf(headers)).toEqual(names);
  });

  test('are at most 64, of them 32 groups', () => {
    const many = (prefix: string) => Array.from({ length: 100 }, (_, n) => `${prefix}${n}`);
    const groups = many('g').map((name) => `"${name}"`);
    const names = namesOf([...tags(many('t').join(',')), ['cache-groups', groups.join(', ')]]);
    expect(names).toHaveLength(64);
    expect(names.filter((name) => name.startsWith('g:'))).toHaveLength(32);
  });

  test('RFC 9875 section 2: 32 groups of 32 characters are supported', () => {
    const groups = Array.from({ length: 32 }, (_, n) => `${n}`.padStart(32, 'g'));
    expect(namesOf([['cache-groups', groups.map((name) => `"${name}"`).join(', ')]])).toEqual(groups.map(groupKey));
  });
});

describe('RFC 9875 section 3: Cache-Group-Invalidation', () => {
  test.each<[method: string, value: string, groups: string[]]>([
    ['POST', '"a", "b";x', ['g:a', 'g:b']],
    ['DELETE', '"a", "a"', ['g:a']],
    ['PROPPATCH', '"a"', ['g:a']],
    ['GET', '"a"', []],
    ['HEAD', '"a"', []],
    ['OPTIONS', '"a"', []],
    ['TRACE', '"a"', []],
    ['POST', 'a', []],
    ['POST', '"a", b', []],
    ['POST', '""', []],
  ])('%s with %s', (method, value, groups) => {
    expect(groupsInvalidatedBy(method, [['cache-group-invalidation', value]])).toEqual(groups);
  });
  test('nothing without the field', () => expect(groupsInvalidatedBy('POST', [])).toEqual([]));
});

test('names for the store and for people', () => {
  expect([tagKey('a'), groupKey('a')].map(describeName)).toEqual([
    { kind: 'tag', name: 'a' },
    { kind: 'group', name: 'a' },
  ]);
  expect(['a', 'a-b:c/1', '', 'a b', 'a,b', 'ä', 'x'.repeat(127)].map(isTagName)).toEqual([
    ...[true, true, false, false, false, false, false],
  ]);
  expect(['a b,"', '', 'ä', 'x'.repeat(127)].map(isGroupName)).toEqual([true, false, false, false]);
  expect(['cache-tag', 'surrogate-key', 'cache-groups', 'cache-control'].map(isInternalField)).toEqual([
    ...[true, true, false, false],
  ]);
});

function tags(value: string): [string, string][] {
  return [['cache-tag', value]];
}
