// `nearcast check-config`: every problem of a configuration with file and line, or the effective configuration.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { configJsonSchema, loadConfig, renderEffective } from '../config.ts';
import { type Command, EXIT_UNUSABLE } from './command.ts';

/** Checks a configuration file; exit code 78 when it cannot be used. */
export const checkConfigCommand: Command = {
  name: 'check-config',
  summary: 'Check a configuration and print what it means with all defaults',
  usage: `Usage: nearcast check-config [FILE] [--quiet] [--schema]

  FILE      default nearcast.yaml
  --quiet   print problems only
  --schema  print the JSON Schema of the configuration, for editors`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { quiet: { type: 'boolean' }, schema: { type: 'boolean' } },
      allowPositionals: true,
    });
    if (values.schema === true) {
      io.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
      return 0;
    }
    const file = resolve(io.cwd, positionals[0] ?? 'nearcast.yaml');
    const loaded = loadConfig(file);
    if (!loaded.ok) {
      for (const { file: where, line, message } of loaded.problems) io.stderr.write(`${where}:${line}: ${message}\n`);
      return EXIT_UNUSABLE;
    }
    for (const warning of loaded.warnings)
      io.stderr.write(`${warning.file}:${warning.line}: warning: ${warning.message}\n`);
    if (values.quiet !== true) io.stdout.write(renderEffective(loaded.config));
    return 0;
  },
};
