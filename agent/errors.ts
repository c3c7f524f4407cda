// Errors of the agent: one class, its codes a closed union, each documented in ARCHITECTURE.md.

/** Every code of the agent. */
export const AGENT_CODES = [
  'AGENT_CONFIG_INVALID',
  'AGENT_LISTEN_FAILED',
  'AGENT_CONTROL_UNREACHABLE',
  'AGENT_CONTROL_REFUSED',
  'AGENT_DEMO_UNUSABLE',
] as const;
/** One of the agent's error codes. */
export type AgentCode = (typeof AGENT_CODES)[number];

/** What the program exits with when such an error ends it; 78 (EX_CONFIG) tells systemd not to restart. */
const EXIT_CODES: Readonly<Record<AgentCode, number>> = {
  AGENT_CONFIG_INVALID: 78,
  AGENT_LISTEN_FAILED: 78,
  AGENT_CONTROL_UNREACHABLE: 1,
  AGENT_CONTROL_REFUSED: 1,
  AGENT_DEMO_UNUSABLE: 78,
};

/** An operating error of the agent; `message` says what to do, `retryable` whether trying again may help. */
export class AgentError extends Error {
  readonly code: AgentCode;
  readonly retryable: boolean;

  constructor(
    code: AgentCode,
    message: string,
    options: { readonly cause?: unknown; readonly retryable?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'AgentError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  /** Exit code of a program that ends by this error. */
  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}
