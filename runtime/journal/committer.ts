/**
 * Group commit for one shard and one epoch: takes sealed frames, appends them with at most two in flight, and tells in
 * order which of them stand in the journal.
 *
 * Verdicts. An acknowledgement of the expected sequence + 1 is the fate of that frame and of those before it (an append
 * succeeds only while no rival has taken over, see Journal.append). Anything else is ambiguous, so the tail is read.
 * Own frame there: committed. A higher epoch: deposed. A tail below what was acknowledged, a foreign frame of this
 * epoch or a lower one: damaged. A tail still at the last committed frame proves nothing, since the append may yet
 * arrive: the same bytes go out again at the same expected sequence, and only that append's fate counts. While the
 * journal is unreachable or full this goes on; the caller sees it in `blocked` and sheds.
 *
 * Submitted bytes must not change until the frame is committed or the committer has stopped.
 */
import {
  type FrameHeader,
  KIND_RELEASE,
  MAX_FRAME_BYTES,
  readHeader,
  sameChecksum,
} from "../../proto/frame/frame_header.ts";
import { type AppendResult, Deposed, type Journal, JournalDamaged, JournalUnavailable } from "../ports.ts";
import { Abandoned, checkFrame, nextPause, RETRY_FIRST_MS, type Sleep } from "./checked.ts";
import type { JournalPosition } from "./claim.ts";
import { type Owner, sealOwnerFrame } from "./takeover.ts";

export const MAX_IN_FLIGHT = 2;

export interface CommitterEvents {
  /** The frame at `sequence` stands; called in order, once for each frame. Must not throw. */
  committed(sequence: number): void;
  /** Called once: a rival owns the shard, or the journal is damaged. Nothing follows; frames in flight are unknown. */
  stopped(error: Deposed | JournalDamaged): void;
}

/** Why frames in flight do not move on, if they do not. */
export type Blocked = "unreachable" | "full" | null;

interface Flight {
  readonly bytes: Uint8Array;
  readonly sequence: number;
  readonly checksum: Uint8Array;
  readonly header: FrameHeader;
  /** Appends of it without an answer yet. */
  sending: boolean;
}

export class Committer {
  readonly #journal: Journal;
  readonly #events: CommitterEvents;
  readonly #sleep: Sleep;
  readonly #maxInFlight: number;
  readonly epoch: number;
  readonly #flights: Flight[] = [];
  #committed: JournalPosition;
  /** Sequence and checksum of the last submitted frame: the next one's predecessor. */
  #last: { sequence: number; checksum: Uint8Array; frameTimeUs: number };
  #resolving = false;
  #blocked: Blocked = null;
  #stopped: Deposed | JournalDamaged | Abandoned | null = null;
  #releasing = false;
  #waiters: { readonly sequence: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];

  /** `takeover`: what claim() resolved with. `maxInFlight` 1 or 2, default as many as the journal takes. */
  constructor(
    journal: Journal,
    takeover: JournalPosition,
    events: CommitterEvents,
    sleep: Sleep,
    maxInFlight = journal.appends_max,
  ) {
    if (maxInFlight < 1 || maxInFlight > MAX_IN_FLIGHT) throw new RangeError(`maxInFlight ${maxInFlight}`);
    this.#journal = journal;
    this.#events = events;
    this.#sleep = sleep;
    this.#maxInFlight = maxInFlight;
    this.epoch = takeover.epoch;
    this.#committed = takeover;
    this.#last = takeover;
  }

  get shard(): number {
    return this.#journal.shard;
  }

  get journalId(): string {
    return this.#journal.id;
  }

  /** The newest frame known to stand. */
  get committed(): JournalPosition {
    return this.#committed;
  }

  /** Number of the next frame to submit. */
  get nextFrameNumber(): number {
    return this.#last.sequence + 1;
  }

  /** What the next frame must carry as its previous checksum. */
  get lastChecksum(): Uint8Array {
    return this.#last.checksum;
  }

  /** Frame time of the last submitted frame; the next one's may not be lower. */
  get lastFrameTimeUs(): number {
    return this.#last.frameTimeUs;
  }

  get inFlight(): number {
    return this.#flights.length;
  }

  get canSubmit(): boolean {
    return this.isOpen && this.#flights.length < this.#maxInFlight;
  }

  /** Whether it takes frames again, once there is room: it has not begun to release the journal, nor stopped. */
  get isOpen(): boolean {
    return this.#stopped === null && !this.#releasing;
  }

  get blocked(): Blocked {
    return this.#blocked;
  }

  get stopped(): Deposed | JournalDamaged | Abandoned | null {
    return this.#stopped;
  }

  /** Sends a sealed frame. It must follow the last submitted one, and canSubmit must hold: else it throws. */
  submit(bytes: Uint8Array): void {
    if (!this.canSubmit) throw new Error("committer: submit without room, after release or after stop");
    this.#push(bytes);
  }

  #push(bytes: Uint8Array): void {
    const header = readHeader(bytes);
    this.#checkNext(header, bytes.length);
    const checksum = header.checksum.slice();
    const flight: Flight = { bytes, sequence: header.frameNumber, checksum, header, sending: false };
    this.#last = { sequence: flight.sequence, checksum, frameTimeUs: header.frameTimeUs };
    this.#flights.push(flight);
    // Behind a frame whose fate is being looked for it waits; the resolver sends it.
    if (!this.#resolving) this.#send(flight);
  }

  /** Resolves when `sequence` stands; rejects when the committer stops before. */
  whenCommitted(sequence: number): Promise<void> {
    if (this.#committed.sequence >= sequence) return Promise.resolve();
    if (this.#stopped !== null) return Promise.reject(this.#stopped);
    return new Promise((resolve, reject) => this.#waiters.push({ sequence, resolve, reject }));
  }

  /** Gives the journal up: waits for the frames in flight, appends Release, resolves when it stands. */
  async release(owner: Owner, frameTimeUs: number): Promise<void> {
    if (this.#releasing) throw new Error("committer: released twice");
    this.#releasing = true;
    await this.whenCommitted(this.#last.sequence);
    const bytes = sealOwnerFrame(owner, {
      kind: KIND_RELEASE,
      journalId: this.#journal.id,
      shard: this.#journal.shard,
      epoch: this.epoch,
      frameNumber: this.nextFrameNumber,
      frameTimeUs: Math.max(frameTimeUs, this.lastFrameTimeUs),
      rowCount: 0,
      previousChecksum: this.lastChecksum,
    });
    this.#push(bytes);
    await this.whenCommitted(this.#last.sequence);
  }

  /**
   * Ends without a verdict (the process is going down): frames in flight are unknown. A rejecting `sleep` does it too.
   */
  abandon(): void {
    if (this.#stopped === null) this.#end(new Abandoned("committer abandoned"));
  }

  /** Somebody else read in the journal that it has a later owner, or is damaged: ends as if an append had met that. */
  endBy(error: Deposed | JournalDamaged): void {
    this.#stop(error);
  }

  #checkNext(header: FrameHeader, length: number): void {
    const good =
      header.frameNumber === this.nextFrameNumber &&
      header.epoch === this.epoch &&
      header.shard === this.#journal.shard &&
      header.journalId === this.#journal.id &&
      header.frameTimeUs >= this.lastFrameTimeUs &&
      length <= MAX_FRAME_BYTES &&
      sameChecksum(header.previousChecksum, this.#last.checksum);
    if (good) return;
    throw new Error(
      `committer: frame ${header.frameNumber} of shard ${header.shard}, epoch ${header.epoch} does not follow ` +
        `frame ${this.#last.sequence} of shard ${this.#journal.shard}, epoch ${this.epoch}`,
    );
  }

  #send(flight: Flight): void {
    flight.sending = true;
    this.#journal.append(flight.bytes, flight.sequence - 1).then(
      (result) => this.#answered(flight, result),
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        this.#answered(flight, { kind: "unknown", message });
      },
    );
  }

  #answered(flight: Flight, result: AppendResult): void {
    flight.sending = false;
    if (this.#stopped !== null) return;
    if (result.kind === "appended") {
      if (result.sequence !== flight.sequence) {
        this.#stop(new JournalDamaged(`acknowledged at ${result.sequence}`, flight.sequence));
        return;
      }
      this.#commitUpTo(flight.sequence);
    }
    // A late answer of a frame whose fate is known already says nothing new.
    else if (flight.sequence <= this.#committed.sequence) return;
    else this.#blocked = result.kind === "full" ? "full" : this.#blocked;
    this.#resolve();
  }

  #commitUpTo(sequence: number): void {
    this.#blocked = null;
    while (this.#flights.length > 0 && this.#flights[0].sequence <= sequence) {
      const flight = this.#flights.shift() as Flight;
      const { epoch, frameTimeUs } = flight.header;
      this.#committed = { sequence: flight.sequence, checksum: flight.checksum, epoch, frameTimeUs };
      this.#events.committed(flight.sequence);
    }
    const ready = this.#waiters.filter((waiter) => waiter.sequence <= sequence);
    this.#waiters = this.#waiters.filter((waiter) => waiter.sequence > sequence);
    for (const waiter of ready) waiter.resolve();
  }

  #stop(error: Deposed | JournalDamaged): void {
    if (this.#stopped !== null) return;
    this.#end(error);
    this.#events.stopped(error);
  }

  #end(error: Deposed | JournalDamaged | Abandoned): void {
    this.#stopped = error;
    this.#flights.length = 0;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  /** Starts looking for the fate of the oldest frame, if nobody does and its own append no longer can tell it. */
  #resolve(): void {
    if (this.#resolving || this.#stopped !== null) return;
    if (this.#flights.length === 0 || this.#flights[0].sending) return;
    this.#resolving = true;
    this.#resolveAll().then(
      () => {
        this.#resolving = false;
        this.#resolve();
      },
      (error: unknown) => {
        // Only a defect of this code or of a listener comes here: the process must not go on.
        throw error;
      },
    );
  }

  /** Until every frame in flight is on its way again or committed. */
  async #resolveAll(): Promise<void> {
    let pause = RETRY_FIRST_MS;
    while (this.#stopped === null && this.#flights.length > 0) {
      const head = this.#flights[0];
      if (head.sending) return;
      const judged = await this.#judgeTail();
      if (this.#stopped !== null || this.#flights.length === 0) return;
      if (judged === "presence") {
        pause = RETRY_FIRST_MS;
        continue;
      }
      if (judged === "nothing" && !head.sending) {
        // Not there: but an earlier try may still be under way, so only the fate of this new try will tell.
        const result = await this.#tryAgain(head);
        if (result) {
          pause = RETRY_FIRST_MS;
          continue;
        }
      }
      if (this.#stopped !== null) return;
      try {
        await this.#sleep(pause);
      } catch {
        this.abandon();
      }
      pause = nextPause(pause);
    }
  }

  /** Appends the oldest frame again; true when that committed it. */
  async #tryAgain(flight: Flight): Promise<boolean> {
    let result: AppendResult;
    try {
      result = await this.#journal.append(flight.bytes, flight.sequence - 1);
    } catch (error) {
      result = { kind: "unknown", message: error instanceof Error ? error.message : String(error) };
    }
    if (this.#stopped !== null || flight.sequence <= this.#committed.sequence) return true;
    if (result.kind === "full") this.#blocked = "full";
    if (result.kind === "unknown") this.#blocked = "unreachable";
    if (result.kind !== "appended") return false;
    if (result.sequence !== flight.sequence) {
      this.#stop(new JournalDamaged(`acknowledged at ${result.sequence}`, flight.sequence));
      return true;
    }
    this.#commitUpTo(flight.sequence);
    return true;
  }

  /** What the newest record says about the frames in flight. */
  async #judgeTail(): Promise<"presence" | "nothing" | "unreachable"> {
    const known = this.#committed.sequence;
    try {
      const tail = await this.#journal.tail();
      const sequence = tail === null ? 0 : tail.sequence;
      if (this.#stopped !== null || this.#flights.length === 0) return "presence";
      // An acknowledgement came while the tail was read: the tail may be older than it, which is no loss. Read again.
      if (this.#committed.sequence > known && sequence >= known) return "presence";
      return this.#judge(
        sequence,
        tail === null ? null : checkFrame(this.#journal, tail, { checksum: null, epoch: 0 }),
      );
    } catch (error) {
      if (error instanceof JournalUnavailable) {
        this.#blocked = "unreachable";
        return "unreachable";
      }
      if (!(error instanceof JournalDamaged)) throw error;
      this.#stop(error);
      return "presence";
    }
  }

  #judge(sequence: number, tail: FrameHeader | null): "presence" | "nothing" {
    const { epoch } = this;
    if (tail !== null && tail.epoch > epoch) {
      this.#stop(new Deposed(tail.epoch));
      return "presence";
    }
    const committed = this.#committed;
    if (tail === null || sequence < committed.sequence) {
      throw new JournalDamaged(`the tail is ${sequence}, below an acknowledged frame`, committed.sequence);
    }
    if (tail.epoch < epoch) throw new JournalDamaged(`epoch ${tail.epoch} behind a Takeover of ${epoch}`, sequence);
    const known = sequence === committed.sequence ? committed : this.#flights.find((f) => f.sequence === sequence);
    if (known === undefined || !sameChecksum(known.checksum, tail.checksum)) {
      throw new JournalDamaged(`a foreign frame of epoch ${epoch}`, sequence);
    }
    if (sequence === committed.sequence) return "nothing";
    this.#commitUpTo(sequence);
    return "presence";
  }
}
