// CMSD hints: only what was measured is told, a bitrate only under load, and real players' readers understand it.
import { describe, expect, test } from 'vitest';
import { openHints } from '../../agent/hints.ts';
import { openNode } from '../cache/http/node.ts';

function start(nodeId = 'edge-01') {
  const load = { fills: 0, isTight: false };
  let now = 1_000_000;
  const hints = openHints({ nodeId, activeFills: () => load.fills, isTight: () => load.isTight, now: () => now });
  const pass = (ms: number) => {
    now += ms;
  };
  const told = (result: string) => {
    pass(1000);
    return hints.field(result)?.[1];
  };
  return { hints, load, pass, told };
}
const MISS = { isHit: false, sentBytes: 1_000_000, sentMs: 1000 };

describe('hints', () => {
  test('tell nothing before an origin was measured, then its throughput with what the cache did not have', () => {
    const { hints, told } = start();
    expect(told('miss')).toBeUndefined();
    hints.served({ ...MISS, isHit: true });
    hints.served({ ...MISS, sentBytes: 1000 });
    hints.served({ ...MISS, sentMs: 0 });
    expect(told('miss')).toBeUndefined();
    hints.served(MISS);
    expect(told('miss')).toBe('"edge-01";etp=8000');
    expect(told('hit')).toBeUndefined();
  });

  test('suggest a bitrate while many fetches run or memory is short, to everybody', () => {
    const { hints, load, told } = start();
    hints.served(MISS);
    load.fills = 9;
    expect(told('miss')).toBe('"edge-01";etp=8000;mb=5600');
    expect(told('hit')).toBe('"edge-01";mb=5600');
    load.fills = 0;
    expect(told('stale')).toBeUndefined();
    load.isTight = true;
    expect(told('revalidated')).toBe('"edge-01";mb=5600');
  });

  test('follow the origin, forget what is a minute old, and are made once a second', () => {
    const { hints, pass, told } = start();
    hints.served(MISS);
    expect(told('miss')).toBe('"edge-01";etp=8000');
    for (let time = 0; time < 50; time += 1) hints.served({ ...MISS, sentMs: 8000 });
    expect(hints.field('miss')?.[1]).toBe('"edge-01";etp=8000');
    expect(told('miss')).toBe('"edge-01";etp=1000');
    pass(60_001);
    expect(told('miss')).toBeUndefined();
  });

  test('quote any name of a node', () => {
    const { hints, told } = start('a"b\\c\r\nd');
    hints.served(MISS);
    expect(told('miss')).toBe('"a\\"b\\\\cd";etp=8000');
  });
});

test('a cache adds the field to segments that it answers well, hits and misses, and to nothing else', async () => {
  const asked: string[] = [];
  const node = await openNode({
    segmentField: (result) => {
      asked.push(result);
      return ['cmsd-dynamic', `"n";etp=${asked.length}00`];
    },
  });
  try {
    const headers = { 'cache-control': 'max-age=60' };
    node.origin.set('/v/1.m4s', { headers, body: 'segment' });
    node.origin.set('/v/p.m3u8', { headers, body: '#EXTM3U' });
    node.origin.set('/v/gone.m4s', { status: 404 });
    expect((await node.get('/v/1.m4s')).headers['cmsd-dynamic']).toBe('"n";etp=100');
    expect((await node.get('/v/1.m4s')).headers['cmsd-dynamic']).toBe('"n";etp=200');
    const part = await node.get('/v/1.m4s', { range: 'bytes=0-2' });
    expect([part.status, part.headers['cmsd-dynamic']]).toEqual([206, '"n";etp=300']);
    expect((await node.get('/v/p.m3u8')).headers['cmsd-dynamic']).toBeUndefined();
    expect((await node.get('/v/gone.m4s')).headers['cmsd-dynamic']).toBeUndefined();
    expect(asked).toEqual(['miss', 'hit', 'hit']);
  } finally {
    await node.close();
  }
});
