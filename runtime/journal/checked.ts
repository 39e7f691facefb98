/** Reading a journal's records with the checks every reader makes; faults become JournalDamaged with the sequence. */
import { checkFormat, FrameError, type FrameHeader, verifyFrame } from "../../proto/frame/frame_header.ts";
import { FormatUnknown, type Journal, JournalDamaged, type JournalMessage, JournalUnavailable } from "../ports.ts";

/** Waits; the composition root passes a real timer, tests a simulated one. A rejection ends the waiting caller. */
export type Sleep = (ms: number) => Promise<void>;

/**
 * The journal is at its byte limit: nothing more is accepted until the maintenance account purges or the limit grows.
 */
export class JournalFull extends Error {
  override name = "JournalFull";
}

/** The waiting was ended from outside; nothing is known about what was under way. */
export class Abandoned extends Error {
  override name = "Abandoned";
}

export const RETRY_FIRST_MS = 5;
export const RETRY_MAX_MS = 500;

/** The next pause of a retry loop: doubling, with a ceiling. */
export function nextPause(ms: number): number {
  return Math.min(RETRY_MAX_MS, ms * 2);
}

/** Verifies one record as a frame of this journal standing at its own sequence. Throws JournalDamaged. */
export function checkFrame(
  journal: Pick<Journal, "id" | "shard">,
  message: JournalMessage,
  after: { readonly checksum: Uint8Array | null; readonly epoch: number },
): FrameHeader {
  try {
    return verifyFrame(message.bytes, {
      journalId: journal.id,
      shard: journal.shard,
      frameNumber: message.sequence,
      previousChecksum: after.checksum,
      minEpoch: after.epoch,
    });
  } catch (error) {
    if (error instanceof FrameError) throw new JournalDamaged(error.message, message.sequence);
    throw error;
  }
}

/** Throws FormatUnknown when this code cannot read bodies of the format. */
export function checkReadable(format: number, sequence: number): void {
  try {
    checkFormat(format);
  } catch (error) {
    if (error instanceof FrameError) throw new FormatUnknown(error.message, sequence);
    throw error;
  }
}

/** Calls until the journal is reachable. Only JournalUnavailable is retried. */
export async function untilReachable<T>(sleep: Sleep, call: () => Promise<T>, blocked?: () => void): Promise<T> {
  for (let pause = RETRY_FIRST_MS; ; pause = nextPause(pause)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof JournalUnavailable)) throw error;
      blocked?.();
      await sleep(pause);
    }
  }
}
