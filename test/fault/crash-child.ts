// A process that stores objects until it is killed: `crash-child.ts store|naive DIRECTORY CYCLE SEED`. It prints a line
// per event: `ready`, `stored KEY`, `removing KEY`, `removed KEY`.
import { mkdirSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { openStore } from '../../cache/store/store.ts';
import { bodyOf, optionsOf, responseOf } from '../cache/store/support.ts';

const [discipline = '', directory = '', cycle = '', seed = ''] = process.argv.slice(2);

/** Numbers in [0, 1) by a linear congruential generator (Numerical Recipes' constants). */
function* chances(start: number): Generator<number, never> {
  for (let state = start >>> 0; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}
const chance = chances(Number(seed));
const random = (): number => chance.next().value;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Mostly large, some inline; every third replaces one of four hot keys. */
function nextObject(count: number): { readonly key: string; readonly label: string; readonly body: Buffer } {
  const key = count % 3 === 0 ? `hot ${Math.floor(random() * 4)}` : `object ${cycle} ${count}`;
  const label = `${key}/${cycle}/${count}`;
  const bytes = Math.floor(random() < 0.4 ? random() * 60_000 : 70_000 + random() * 2_500_000);
  return { key, label, body: bodyOf(label, bytes) };
}

async function runStore(): Promise<void> {
  const store = await openStore({ ...optionsOf(directory), dirs: [{ path: directory, maxBytes: 2 ** 33 }] });
  say('ready');
  for (let count = 0; ; count += 1) {
    const { key, label, body } = nextObject(count);
    const headers = [['etag', label]] as const;
    const writer = store.write(responseOf(key, random() < 0.5 ? body.length : undefined, { headers }), {
      isPinned: false,
      worth: undefined,
    });
    for (let at = 0; at < body.length; at += 65_536) {
      writer?.write(body.subarray(at, at + 65_536));
      await turn();
    }
    await writer?.finish();
    say(`stored ${key}`);
    if (count % 5 !== 2) continue;
    const keys = store.keys('object', 100_000);
    const victim = keys[Math.floor(random() * keys.length)] ?? '';
    const [object] = store.find(victim);
    if (object === undefined) continue;
    say(`removing ${victim}`);
    store.remove(object);
    await turn();
    await turn();
    say(`removed ${victim}`);
  }
}

/** How not to do it: in place, row first, no checksum. */
async function runNaive(): Promise<void> {
  mkdirSync(directory, { recursive: true });
  say('ready');
  for (let count = 0; ; count += 1) {
    const { key, label, body } = nextObject(count);
    await writeFile(join(directory, `${key}.json`), JSON.stringify({ label, bytes: body.length }));
    const file = await open(join(directory, `${key}.body`), 'w');
    for (let at = 0; at < body.length; at += 65_536) await file.write(body.subarray(at, at + 65_536));
    await file.close();
    say(`stored ${key}`);
  }
}

await (discipline === 'naive' ? runNaive() : runStore());
