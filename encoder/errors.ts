// Errors of the encoder: one class, its codes a closed union, each with the exit code that the program ends with.
import { EXIT } from './contract.ts';

/** Exit code per error code: what the caller may do about it without reading the message. */
export const EXIT_OF = {
  /** The job is not valid JSON of the contract. */
  ENCODER_JOB_INVALID: EXIT.usage,
  /** The input file is not there or cannot be read. */
  ENCODER_INPUT_MISSING: EXIT.badInput,
  /** The input is of a kind that is never opened: a playlist, a remote address, too many pixels, no codec for it. */
  ENCODER_INPUT_REFUSED: EXIT.badInput,
  /** The input is encrypted (DRM) or declared sealed. */
  ENCODER_INPUT_SEALED: EXIT.badInput,
  /** The input does not decode from its first to its last frame. */
  ENCODER_INPUT_CORRUPT: EXIT.badInput,
  /** The input holds no moving picture. */
  ENCODER_NO_VIDEO: EXIT.badInput,
  /** No usable ffmpeg; the message names FFMPEG_PATH. */
  ENCODER_FFMPEG_MISSING: EXIT.missingTool,
  /** An ffmpeg run ended with an error, or was killed twice. */
  ENCODER_FFMPEG_FAILED: EXIT.failed,
  /** An ffmpeg run made no progress for budget.stallSeconds, twice. */
  ENCODER_FFMPEG_STALLED: EXIT.tempFail,
  /** A step gave another number of frames, or other frames, than planned. */
  ENCODER_FRAMES_DIFFER: EXIT.failed,
  /** An encoder writes another init segment for each quality value, so that shots cannot share a rendition. */
  ENCODER_INIT_DIFFERS: EXIT.failed,
  /** The quality metric does not run or gives no numbers, and so does the one after it. */
  ENCODER_METRIC_FAILED: EXIT.failed,
  /** The finished package failed its own check and was thrown away. */
  ENCODER_CHECK_FAILED: EXIT.failed,
  /** A folder of the job cannot be written. */
  ENCODER_DISK_FAILED: EXIT.tempFail,
  /** No space left in outDir or publishTo. */
  ENCODER_DISK_FULL: EXIT.tempFail,
  /** Another encoder works in the same outDir. */
  ENCODER_BUSY: EXIT.tempFail,
  /** Told to stop; running the same job again goes on from here. */
  ENCODER_STOPPED: EXIT.tempFail,
} as const;

/** Every code of the encoder. */
export type EncoderCode = keyof typeof EXIT_OF;

/** An operating error of the encoder; `message` is one line that says what to do. */
export class EncoderError extends Error {
  readonly code: EncoderCode;
  readonly retryable: boolean;

  constructor(
    code: EncoderCode,
    message: string,
    options: { readonly cause?: unknown; readonly retryable?: boolean } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'EncoderError';
    this.code = code;
    this.retryable = options.retryable ?? EXIT_OF[code] === EXIT.tempFail;
  }
}

/** Whether this is an error of the operating system with that errno name, such as ENOSPC. */
export function isErrno(error: unknown, name: string): boolean {
  return error instanceof Error && 'code' in error && error.code === name;
}

/**
 * Any thrown value as an EncoderError: errors of the file system become ENCODER_DISK_FULL or ENCODER_DISK_FAILED; what
 * is left is a programmer error and is given back as undefined, for the caller to crash on.
 */
export function asEncoderError(error: unknown): EncoderError | undefined {
  if (error instanceof EncoderError) return error;
  if (isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT')) {
    return new EncoderError('ENCODER_DISK_FULL', 'no space left in outDir or publishTo: free some and run again', {
      cause: error,
    });
  }
  if (error instanceof Error && 'syscall' in error) {
    return new EncoderError('ENCODER_DISK_FAILED', error.message, { cause: error });
  }
  return undefined;
}
