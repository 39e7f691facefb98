/** Frames for tests: what an owner with nothing to say would write. */
import { HEADER_BYTES, KIND_ROWS, NO_CHECKSUM, readHeader, sealFrame } from "../../proto/frame/frame_header.ts";
import type { Committer } from "../journal/committer.ts";
import { sealOwnerFrame } from "../journal/takeover.ts";
import type { Journal } from "../ports.ts";

export interface FrameAt {
  readonly epoch: number;
  readonly sequence: number;
  readonly previous?: Uint8Array;
  readonly body_bytes?: number;
  /** Every body byte. */
  readonly fill?: number;
}

/** A sealed rows frame for `journal`. */
export function rowsFrame(journal: Journal, at: FrameAt): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + (at.body_bytes ?? 32)).fill(at.fill ?? at.sequence & 0xff);
  sealFrame(bytes, fieldsOf(journal, at));
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
    frameTimeUs: at.sequence,
    rowCount: 0,
    previousChecksum: at.previous ?? NO_CHECKSUM,
  };
}

/** The next frame a committer's owner would submit. */
export function nextFrame(committer: Committer, body_bytes = 64, fill = 7): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body_bytes).fill(fill);
  sealFrame(bytes, {
    kind: KIND_ROWS,
    journalId: committer.journalId,
    shard: committer.shard,
    epoch: committer.epoch,
    frameNumber: committer.nextFrameNumber,
    frameTimeUs: committer.lastFrameTimeUs + 1,
    rowCount: 1,
    previousChecksum: committer.lastChecksum,
  });
  return bytes;
}

/** The checksum of a sealed frame. */
export function checksumOf(frame: Uint8Array): Uint8Array {
  return readHeader(frame).checksum.slice();
}
