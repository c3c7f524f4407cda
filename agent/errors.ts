// Errors of the agent: one class, its codes a closed union, each documented in ARCHITECTURE.md.

/** Every code of the agent. */
export const AGENT_CODES = [
  'AGENT_CONFIG_INVALID',
  'AGENT_LISTEN_FAILED',
  'AGENT_CONTROL_UNREACHABLE',
  'AGENT_CONTROL_REFUSED',
  'AGENT_DEMO_UNUSABLE',
  'AGENT_DIRECTORY_UNUSABLE',
  'AGENT_CATALOGUE_WRITE',
  'AGENT_ENCODE_OFF',
  'AGENT_ENCODE_SEALED',
  'AGENT_LOG_UNREADABLE',
  'AGENT_MODEL_STORE',
  'AGENT_MODULE_INVALID',
  'AGENT_PAGE_UNREADABLE',
  'AGENT_MODEL_UNKNOWN',
  'AGENT_STATE_NEWER',
  'AGENT_STATE_UNUSABLE',
] as const;
/** One of the agent's error codes. */
export type AgentCode = (typeof AGENT_CODES)[number];

/** A program that ends by one of these exits with 78 (EX_CONFIG), which tells systemd that a restart is no use. */
const UNUSABLE: ReadonlySet<AgentCode> = new Set([
  'AGENT_CONFIG_INVALID',
  'AGENT_LISTEN_FAILED',
  'AGENT_DEMO_UNUSABLE',
  'AGENT_DIRECTORY_UNUSABLE',
  'AGENT_MODULE_INVALID',
  'AGENT_STATE_NEWER',
  'AGENT_STATE_UNUSABLE',
]);

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
    return UNUSABLE.has(this.code) ? 78 : 1;
  }
}
