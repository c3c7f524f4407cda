// `nearcast run`: the daemon. Starts from a configuration, serves until SIGTERM or SIGINT, then drains.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { tuneHeap } from '../../cache/cache.ts';
import { type LoadedConfig, loadConfig } from '../config.ts';
import { AgentError } from '../errors.ts';
import { openLog } from '../log.ts';
import { openNode } from '../node.ts';
import { type Command, EXIT_USAGE } from './command.ts';

/** Standard output that nobody reads may cost this much of the five seconds. */
const LOG_FLUSH_MS = 200;

/** Loads a configuration. Throws AGENT_CONFIG_INVALID, all problems in its message. */
export function requireConfig(file: string): Extract<LoadedConfig, { readonly ok: true }> {
  const loaded = loadConfig(file);
  if (!loaded.ok) {
    const problems = loaded.problems.map((problem) => `${problem.file}:${problem.line}: ${problem.message}`);
    throw new AgentError('AGENT_CONFIG_INVALID', problems.join('\nnearcast: '));
  }
  return loaded;
}

/** The daemon; ends with 0 after a drain. */
export const runCommand: Command = {
  name: 'run',
  summary: 'Run a node from a configuration',
  usage: `Usage: nearcast run [--config FILE] [--predictor on|off]

  --config, -c  default nearcast.yaml
  --predictor   off: no model process, no training, no trial, whatever the configuration says; plain rules rank

Logs JSON lines to standard output. SIGHUP reads the configuration again, as nearcast reload does. SIGTERM and SIGINT stop listening, let answers in flight end and exit 0 within 5 s.
Exit code 78: the configuration, a port or a directory cannot be used; a restart would not help.`,
  run: async (args, io) => {
    tuneHeap();
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: 'string', short: 'c', default: 'nearcast.yaml' },
        predictor: { type: 'string', default: 'on' },
      },
    });
    const file = resolve(io.cwd, values.config);
    if (values.predictor !== 'on' && values.predictor !== 'off') {
      io.stderr.write(`nearcast run: --predictor is on or off, not "${values.predictor}"\n`);
      return EXIT_USAGE;
    }
    const { config: written, warnings } = requireConfig(file);
    const config =
      values.predictor === 'off' ? { ...written, predict: { ...written.predict, enabled: false } } : written;
    const log = openLog({ level: config.log.level, stream: io.stdout });
    for (const { line, message } of warnings) log.log('warn', 'config.warning', { line, message });
    const node = await openNode(config, { log, env: io.env, file });
    io.onHangup?.(() => void node.reload());
    const { port, securePort, metricsPort } = node;
    log.log('info', 'node.ready', { port, securePort, metricsPort });
    if (!io.signal.aborted) await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    log.log('info', 'node.draining', { signal: String(io.signal.reason) });
    await node.close();
    log.log('info', 'node.stopped');
    await log.close(LOG_FLUSH_MS);
    return 0;
  },
};
