// The log on a real file and on a real pipe whose reader leaves.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { AgentError } from '../../agent/errors.ts';
import { type AgentLog, openLog } from '../../agent/log.ts';
import { raw } from '../../agent/telemetry/event.ts';
import type { Log } from '../../cache/cache.ts';

const dir = mkdtempSync(join(tmpdir(), 'nearcast-log-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Lines written by `use`. */
async function linesOf(
  name: string,
  use: (log: AgentLog) => void,
  level: 'debug' | 'warn' = 'debug',
): Promise<readonly unknown[]> {
  const file = join(dir, name);
  const stream = createWriteStream(file);
  const opened = openLog({ level, stream, base: { node: 'edge-01' } });
  use(opened.log);
  await opened.close(5_000);
  expect(opened.stats().dropped).toBe(0);
  stream.end();
  const text = readFileSync(file, 'utf8');
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}

describe('log lines', () => {
  test('are JSON with level, time, event and fields', async () => {
    const lines = await linesOf('plain', (log) => {
      log('info', 'node.ready', { port: 8080 });
      log('warn', 'fill.failed', { attempt: 2, reason: 'two\nlines' });
    });
    expect(lines).toEqual([
      { level: 'info', time: expect.any(Number), node: 'edge-01', event: 'node.ready', port: 8080 },
      {
        level: 'warn',
        time: expect.any(Number),
        node: 'edge-01',
        event: 'fill.failed',
        attempt: 2,
        reason: 'two\nlines',
      },
    ]);
  });

  test('below the level are not written', async () => {
    const all = (log: AgentLog): void => {
      for (const level of ['debug', 'info', 'warn', 'error'] as const) log(level, 'x');
    };
    expect(await linesOf('level', all, 'warn')).toMatchObject([{ level: 'warn' }, { level: 'error' }]);
  });

  test('show errors by code, message and cause; a stack only where there is no code', async () => {
    const cause = new TypeError('not a function');
    const [line] = await linesOf('error', (log) =>
      log('error', 'state.failed', { error: new AgentError('AGENT_CONFIG_INVALID', 'say what to do', { cause }) }),
    );
    expect(line).toMatchObject({
      error: {
        name: 'AgentError',
        code: 'AGENT_CONFIG_INVALID',
        message: 'say what to do',
        cause: { name: 'TypeError', message: 'not a function', stack: expect.stringContaining('log.test') },
      },
    });
  });

  test('survive what JSON cannot say', async () => {
    const circular: Record<string, unknown> = { big: 2n ** 70n };
    circular['self'] = circular;
    expect(await linesOf('circular', (log) => log('info', 'odd', { circular }))).toHaveLength(1);
  });
});

describe('nothing of a viewer', () => {
  test('raw telemetry is refused by the compiler, at any depth', async () => {
    const sid = raw('a-session');
    const lines = await linesOf('raw', (log) => {
      // @ts-expect-error a raw value is no field of a log line
      log('info', 'leak', { sid });
      // @ts-expect-error nor inside another object
      log('info', 'leak', { session: { sid } });
      // @ts-expect-error nor in a list
      log('info', 'leak', { all: [sid] });
      log('info', 'fine', { titles: 3, nested: { ratio: 0.5, list: ['a'] } });
    });
    expect(lines).toHaveLength(4);
  });

  test('its name is dropped even where the type was lost', async () => {
    const use = (log: Log): void => log('info', 'x', { sid: 'a', viewer: 'b', remoteHash: 'c', n: 1 });
    const [line] = await linesOf('widened', use);
    expect(line).toEqual({ level: 'info', time: expect.any(Number), node: 'edge-01', event: 'x', n: 1 });
  });
});

describe('a reader that leaves', () => {
  /** Runs the writer and does `meanwhile` to its standard output; its counts when it has ended. */
  async function run(meanwhile: (stdout: Readable) => void): Promise<unknown> {
    const script = fileURLToPath(new URL('log-writer.ts', import.meta.url));
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe'] });
    let report = '';
    child.stderr.on('data', (chunk: Buffer) => {
      report += chunk.toString();
    });
    meanwhile(child.stdout);
    const code = await new Promise((settle) => {
      child.once('exit', settle);
    });
    child.stdout.destroy();
    expect({ code, report }).toMatchObject({ code: 0, report: expect.stringMatching(/^\{.*\}$/) });
    return JSON.parse(report);
  }

  test('costs lines, which are counted, and not the process', async () => {
    const counts = await run((stdout) => stdout.once('data', () => stdout.destroy()));
    expect(counts).toEqual({ lines: 20_000, dropped: expect.any(Number) });
    expect(Object(counts).dropped).toBeGreaterThan(10_000);
  });

  test('or that stops reading, likewise', async () => {
    const counts = await run((stdout) => stdout.pause());
    expect(counts).toEqual({ lines: 20_000, dropped: expect.any(Number) });
    expect(Object(counts).dropped).toBeGreaterThan(10_000);
  });
});
