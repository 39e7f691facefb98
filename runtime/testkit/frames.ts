/** Frames for tests: what an owner with nothing to say would write. */
import { createHash } from "node:crypto";
import {
  FORMAT_NEWEST,
  HEADER_BYTES,
  KIND_ROWS,
  NO_CHECKSUM,
  readHeader,
  sealFrame,
} from "../../proto/frame/frame_header.ts";
import type { Committer } from "../journal/committer.ts";
import { sealOwnerFrame } from "../journal/takeover.ts";
import type { Journal } from "../ports.ts";

const FIRST_TRIES = 250;
const FIRST_PAUSE_MS = 20;

export interface FrameAt {
  readonly epoch: number;
  readonly sequence: number;
  readonly previous?: Uint8Array;
  readonly body_bytes?: number;
  /** Every body byte. */
  readonly fill?: number;
  readonly format?: number;
  /** Default: the sequence. */
  readonly time_us?: number;
}

/** A sealed rows frame for `journal`. */
export function rowsFrame(journal: Journal, at: FrameAt): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (at.body_bytes ?? 32)).fill(at.fill ?? at.sequence & 0xff);
  sealFrame(bytes, fieldsOf(journal, at), at.format ?? FORMAT_NEWEST);
  return bytes;
}

/** A sealed Takeover for `journal`. */
export function takeoverFrame(journal: Journal, at: FrameAt, node = "test"): Uint8Array {
  return sealOwnerFrame({ node, bootId: "boot" }, { ...fieldsOf(journal, at), kind: 2 });
}

function fieldsOf(journal: Journal, at: FrameAt) {
  return {
    kind: KIND_ROWS,
    journalId: journal.id,
    shard: journal.shard,
    epoch: at.epoch,
    frameNumber: at.sequence,
    frameTimeUs: at.time_us ?? at.sequence,
    rowCount: 0,
    previousChecksum: at.previous ?? NO_CHECKSUM,
  };
}

/** The next frame a committer's owner would submit. */
export function nextFrame(committer: Committer, body_bytes = 64, fill = 7): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body_bytes).fill(fill);
  const fields = {
    kind: KIND_ROWS,
    journalId: committer.journalId,
    shard: committer.shard,
    epoch: committer.epoch,
    frameNumber: committer.nextFrameNumber,
    frameTimeUs: committer.lastFrameTimeUs + 1,
    rowCount: 1,
    previousChecksum: committer.lastChecksum,
  };
  sealFrame(bytes, fields, FORMAT_NEWEST);
  return bytes;
}

/** Appends the Takeover that begins a journal. Servers of a cluster hear one after the other that a stream was made. */
export async function beginJournal(journal: Journal): Promise<Uint8Array> {
  const frame = takeoverFrame(journal, { epoch: 1, sequence: 1 });
  for (let tries = 1; tries <= FIRST_TRIES; tries++) {
    const result = await journal.append(frame, 0);
    if (result.kind === "appended") return frame;
    if (result.kind !== "unknown") throw new Error(`the first frame: ${result.kind}`);
    await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS));
  }
  throw new Error("nobody takes the first frame");
}

/** The checksum of a sealed frame. */
export function checksumOf(frame: Uint8Array): Uint8Array {
  return readHeader(frame).checksum.slice();
}

/** The frame as code of tomorrow would have sealed it: whole, in a format that nobody knows yet. */
export function inNewerFormat(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice();
  new DataView(bytes.buffer).setUint16(4, FORMAT_NEWEST + 1, true);
  const digest = createHash("sha256").update(bytes.subarray(0, 72)).update(bytes.subarray(HEADER_BYTES)).digest();
  bytes.set(digest.subarray(0, 16), 72);
  return bytes;
}
