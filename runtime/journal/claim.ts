/**
 * Claiming a journal: reads the tail from the stream's leader and appends Takeover{last epoch + 1} behind it. Its
 * acknowledgement fences every earlier owner: their frames expect an older sequence, or an older epoch, and are
 * refused.
 */
import {
  type FrameHeader,
  KIND_TAKEOVER,
  NO_CHECKSUM,
  readHeader,
  sameChecksum,
} from "../../proto/frame/frame_header.ts";
import { Deposed, type Journal, JournalDamaged } from "../ports.ts";
import { checkFrame, JournalFull, nextPause, RETRY_FIRST_MS, type Sleep, untilReachable } from "./checked.ts";
import { type Owner, sealOwnerFrame } from "./takeover.ts";

/** Conflicts with a living owner's frames before a claim gives up; each costs one tail read and one append. */
const MAX_LOST_RACES = 1000;

/** Reads of the tail before a newest record that is counted and not given is taken for damaged. */
const TAIL_TRIES = 5;

/** A place in a journal: everything up to `sequence` is behind it. */
export interface JournalPosition {
  /** 0: before the first frame. */
  readonly sequence: number;
  readonly checksum: Uint8Array;
  readonly epoch: number;
  /** Frame time at the position; 0 before the first frame. */
  readonly frameTimeUs: number;
}

export const JOURNAL_START: JournalPosition = { sequence: 0, checksum: NO_CHECKSUM, epoch: 0, frameTimeUs: 0 };

export function positionOf(header: FrameHeader): JournalPosition {
  const { frameNumber: sequence, epoch, frameTimeUs } = header;
  return { sequence, checksum: header.checksum.slice(), epoch, frameTimeUs };
}

interface Attempt {
  readonly bytes: Uint8Array;
  readonly takeover: JournalPosition;
}

/** The newest frame, verified by itself; JOURNAL_START for an empty journal. */
export async function readTail(journal: Journal, tries = TAIL_TRIES): Promise<JournalPosition> {
  const tail = await journal.tail();
  if (tail !== null) return positionOf(checkFrame(journal, tail, { checksum: null, epoch: 0 }));
  const state = await journal.state();
  if (state.lastSequence > 0 && state.lastSequence >= state.firstSequence) {
    // Appended between the two calls; or the server counts a newest record that it cannot read.
    if (tries > 1) return readTail(journal, tries - 1);
    throw new JournalDamaged("the newest frame cannot be read", state.lastSequence);
  }
  // A journal never loses its newest frame; one that counted frames and has none was purged or lost.
  if (state.lastSequence > 0) throw new JournalDamaged("the newest frame is gone", state.lastSequence);
  return JOURNAL_START;
}

function attemptAfter(journal: Journal, owner: Owner, wallUs: number, last: JournalPosition): Attempt {
  const fields = {
    kind: KIND_TAKEOVER,
    journalId: journal.id,
    shard: journal.shard,
    epoch: last.epoch + 1,
    frameNumber: last.sequence + 1,
    // The one place where wall time enters frame time, so that a pause of hours is seen; it never runs backwards.
    frameTimeUs: Math.max(last.frameTimeUs, wallUs),
    rowCount: 0,
    previousChecksum: last.checksum,
  };
  const bytes = sealOwnerFrame(owner, fields);
  return { bytes, takeover: positionOf(readHeader(bytes)) };
}

/**
 * Claims the journal; resolves with the position of the acknowledged Takeover, whose predecessor is the frame to fold
 * up to. Waits as long as the journal is unreachable (a rejecting `sleep` ends it). Throws Deposed when a rival's
 * Takeover won: go back to the lease. Throws JournalDamaged or JournalFull: the shard cannot be served.
 */
export async function claim(journal: Journal, owner: Owner, wallUs: number, sleep: Sleep): Promise<JournalPosition> {
  let pause = RETRY_FIRST_MS;
  let attempt: Attempt | null = null;
  let bottom: JournalPosition | null = null;
  let unread = 0;
  for (let races = 0; races < MAX_LOST_RACES; ) {
    const last = await untilReachable(sleep, () => readTail(journal));
    if (bottom === null) bottom = last;
    if (last.sequence < bottom.sequence) throw new JournalDamaged("the tail went back", bottom.sequence);
    if (last.epoch < bottom.epoch) throw new JournalDamaged("an older epoch behind a newer one", last.sequence);
    if (attempt !== null && isOwn(attempt, last)) return attempt.takeover;
    if (last.epoch > bottom.epoch) throw new Deposed(last.epoch);
    // Unmoved since an attempt of unknown fate: only the same bytes may be sent again at that sequence.
    const moved: boolean = attempt === null || attempt.takeover.sequence !== last.sequence + 1;
    if (attempt === null || moved) attempt = attemptAfter(journal, owner, wallUs, last);
    const result = await journal.append(attempt.bytes, last.sequence);
    if (result.kind === "appended") return acknowledged(attempt, result.sequence);
    if (result.kind === "full") throw new JournalFull(result.message);
    if (result.kind === "conflict") {
      // The journal counts records behind the one it gives as its newest: they stand there and cannot be read.
      unread = !moved && result.lastSequence > last.sequence ? unread + 1 : 0;
      if (unread === TAIL_TRIES) throw new JournalDamaged("the newest frame cannot be read", result.lastSequence);
    }
    if (result.kind === "conflict" && moved) races++;
    else {
      await sleep(pause);
      pause = nextPause(pause);
    }
  }
  throw new Deposed(bottom?.epoch ?? 0);
}

function isOwn(attempt: Attempt, last: JournalPosition): boolean {
  return attempt.takeover.sequence === last.sequence && sameChecksum(attempt.takeover.checksum, last.checksum);
}

function acknowledged(attempt: Attempt, sequence: number): JournalPosition {
  if (sequence !== attempt.takeover.sequence) {
    throw new JournalDamaged(`Takeover acknowledged at ${sequence}`, attempt.takeover.sequence);
  }
  return attempt.takeover;
}
