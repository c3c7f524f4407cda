// `nearcast run`: the daemon. Starts from a configuration, serves until SIGTERM or SIGINT, then drains.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../config.ts';
import type { EncodeStatus } from '../encodes.ts';
import { AgentError } from '../errors.ts';
import { type OpenLog, openLog } from '../log.ts';
import { type Node, openNode } from '../node.ts';
import type { Command, Io } from './command.ts';

/** Standard output that nobody reads may cost this much of the five seconds. */
const LOG_FLUSH_MS = 200;

/** What startNode() takes besides the configuration. */
export type StartOptions = {
  readonly log: OpenLog;
  readonly env: Io['env'];
  /** Hears every step of every encode. */
  readonly onEncode?: (status: EncodeStatus) => void;
};

/** Loads a configuration and opens a node on it. Rejects with AGENT_CONFIG_INVALID, all problems in its message. */
export async function startNode(file: string, options: StartOptions): Promise<Node> {
  const loaded = loadConfig(file);
  if (!loaded.ok) {
    const problems = loaded.problems.map((problem) => `${problem.file}:${problem.line}: ${problem.message}`);
    throw new AgentError('AGENT_CONFIG_INVALID', problems.join('\nnearcast: '));
  }
  options.log.setLevel(loaded.config.log.level);
  for (const warning of loaded.warnings)
    options.log.log('warn', 'config.warning', { line: warning.line, message: warning.message });
  return openNode(loaded.config, options);
}

/** The daemon; ends with 0 after a drain. */
export const runCommand: Command = {
  name: 'run',
  summary: 'Run a node from a configuration',
  usage: `Usage: nearcast run [--config FILE]

  --config, -c  default nearcast.yaml

Logs JSON lines to standard output. SIGTERM and SIGINT stop listening, let answers in flight end and exit 0 within 5 s.
Exit code 78: the configuration, a port or a directory cannot be used; a restart would not help.`,
  run: async (args, io) => {
    const { values } = parseArgs({
      args: [...args],
      options: { config: { type: 'string', short: 'c', default: 'nearcast.yaml' } },
    });
    const log = openLog({ level: 'info', stream: io.stdout });
    const node = await startNode(resolve(io.cwd, values.config), { log, env: io.env });
    log.log('info', 'node.ready', { port: node.port, metricsPort: node.metricsPort });
    if (!io.signal.aborted) await new Promise((done) => io.signal.addEventListener('abort', done, { once: true }));
    log.log('info', 'node.draining', { signal: String(io.signal.reason) });
    await node.close();
    log.log('info', 'node.stopped');
    await log.close(LOG_FLUSH_MS);
    return 0;
  },
};
