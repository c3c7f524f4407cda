// The software encoder of each codec. Pure.
import { svtAv1 } from './av1.ts';
import type { CodecName, VideoCodec } from './codec.ts';
import { x264 } from './h264.ts';
import { x265 } from './hevc.ts';

/** What encodes a codec where no hardware does it better. */
export const SOFTWARE: Readonly<Record<CodecName, VideoCodec>> = { h264: x264, hevc: x265, av1: svtAv1 };
