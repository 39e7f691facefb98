/**
 * Reading a journal in order and verifying all of it: chain, journal id, shard, numbers, epochs and frame time never
 * falling. A JournalReader keeps its place, so a follower calls catchUp() again and again; replay() is one catch-up.
 */
import { FrameError, type FrameHeader, KIND_TAKEOVER, sameChecksum } from "../../proto/frame/frame_header.ts";
import { type Journal, JournalDamaged, type JournalMessage, JournalPurged, JournalUnavailable } from "../ports.ts";
import { checkFrame, checkReadable, nextPause, RETRY_FIRST_MS, type Sleep, untilReachable } from "./checked.ts";
import { JOURNAL_START, type JournalPosition, positionOf } from "./claim.ts";
import { RESTORE_NODE, readOwner } from "./takeover.ts";

/** Reads of a frame that the journal counts and does not give, before it is gone. */
const RESUME_TRIES = 5;

/** Folds one verified frame. `bytes` (header and body, 8-aligned) is its to keep. What it throws ends the replay. */
export type OnFrame = (header: FrameHeader, bytes: Uint8Array) => void | Promise<void>;

/** Verifies the frame that follows `at`: form, checksum chain, number, epoch, frame time. Throws JournalDamaged. */
export function verifyNext(
  journal: Pick<Journal, "id" | "shard">,
  at: JournalPosition,
  message: JournalMessage,
): FrameHeader {
  if (message.sequence !== at.sequence + 1) throw new JournalDamaged("missing frame", at.sequence + 1);
  const header = checkFrame(journal, message, at);
  // Epochs rise by Takeovers only, one by one but for a restore's; the first frame is one.
  const epoch = header.kind === KIND_TAKEOVER ? at.epoch + 1 : at.epoch;
  const isRaised = header.kind === KIND_TAKEOVER && header.epoch > epoch && isRestore(message);
  if (header.epoch !== epoch && !isRaised) {
    throw new JournalDamaged(`kind ${header.kind} of epoch ${header.epoch} behind epoch ${at.epoch}`, message.sequence);
  }
  if (header.frameTimeUs < at.frameTimeUs) throw new JournalDamaged("frame time runs backwards", message.sequence);
  return header;
}

function isRestore(message: JournalMessage): boolean {
  try {
    return readOwner(message.bytes).node === RESTORE_NODE;
  } catch (e) {
    // TextDecoder's own error, for a name that is not UTF-8.
    if (!(e instanceof FrameError || e instanceof TypeError)) throw e;
    throw new JournalDamaged(`unreadable Takeover: ${e.message}`, message.sequence);
  }
}

export class JournalReader {
  readonly #journal: Journal;
  readonly #onFrame: OnFrame;
  readonly #sleep: Sleep;
  #position: JournalPosition;
  #resumed: boolean;

  /** `from`: JOURNAL_START, or a snapshot's or watermark's position, which is compared with the journal first. */
  constructor(journal: Journal, from: JournalPosition, onFrame: OnFrame, sleep: Sleep) {
    this.#journal = journal;
    this.#position = from;
    this.#onFrame = onFrame;
    this.#sleep = sleep;
    this.#resumed = from.sequence === 0;
  }

  get position(): JournalPosition {
    return this.#position;
  }

  /**
   * Reads up to the tail found at the call. Waits while the journal is unreachable (a rejecting `sleep` ends it).
   * Throws JournalDamaged naming the sequence, JournalPurged when what follows the position is not there any more,
   * FormatUnknown at a frame that newer code wrote; frames before it have been handed over.
   */
  async catchUp(): Promise<JournalPosition> {
    await this.#resume();
    for (let pause = RETRY_FIRST_MS; ; pause = nextPause(pause)) {
      const before = this.#position.sequence;
      try {
        for await (const message of this.#journal.readFrom(before + 1)) await this.#take(message);
        return this.#position;
      } catch (error) {
        if (!(error instanceof JournalUnavailable)) throw error;
        if (this.#position.sequence > before) pause = RETRY_FIRST_MS;
        await this.#sleep(pause);
      }
    }
  }

  /** The frame at the starting position must be the one the position was taken at. */
  async #resume(): Promise<void> {
    if (this.#resumed) return;
    const { sequence, checksum } = this.#position;
    const message = await this.#first();
    const header = checkFrame(this.#journal, message, { checksum: null, epoch: 0 });
    if (!sameChecksum(header.checksum, checksum)) {
      throw new JournalDamaged("the frame to resume from is another one", sequence);
    }
    this.#position = positionOf(header);
    this.#resumed = true;
  }

  /** The frame to resume from. A server that had not caught up when it was asked is asked again. */
  async #first(): Promise<JournalMessage> {
    const { sequence } = this.#position;
    for (let pause = RETRY_FIRST_MS, tries = 1; ; pause = nextPause(pause), tries++) {
      const message = await untilReachable(this.#sleep, () => this.#journal.read(sequence, true));
      if (message !== null) return message;
      const { firstSequence, lastSequence } = await untilReachable(this.#sleep, () => this.#journal.state());
      if (sequence < firstSequence) throw new JournalPurged(sequence, firstSequence);
      if (sequence > lastSequence || tries === RESUME_TRIES) {
        throw new JournalDamaged("the frame to resume from is gone", sequence);
      }
      await this.#sleep(pause);
    }
  }

  async #take(message: JournalMessage): Promise<void> {
    const at = this.#position;
    const header = verifyNext(this.#journal, at, message);
    checkReadable(header.version, message.sequence);
    const folded = this.#onFrame(header, message.bytes);
    if (folded !== undefined) await folded;
    this.#position = positionOf(header);
  }
}

/** Reads everything behind `from` up to the present tail; resolves with the position reached. */
export function replay(
  journal: Journal,
  from: JournalPosition | { readonly sequence: number; readonly checksum: Uint8Array },
  onFrame: OnFrame,
  sleep: Sleep,
): Promise<JournalPosition> {
  return new JournalReader(journal, { ...JOURNAL_START, ...from }, onFrame, sleep).catchUp();
}
