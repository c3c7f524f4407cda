// Errors of the agent: one class, its codes a closed union, each documented in ARCHITECTURE.md.

/** Every code of the agent. */
export const AGENT_CODES = [
  'AGENT_CONFIG_INVALID',
  'AGENT_STATE_NEWER',
  'AGENT_STATE_UNUSABLE',
  'AGENT_CATALOGUE_WRITE',
] as const;
export type AgentCode = (typeof AGENT_CODES)[number];

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
}
