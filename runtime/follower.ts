/**
 * A shard on its way to be served: its state is brought up to the journal's tail and kept there, so that a claim finds
 * next to nothing left to fold. Following writes nothing and asks nobody.
 */

import { type FrameHeader, sameChecksum } from "../proto/frame/frame_header.ts";
import type { Sleep } from "./journal/checked.ts";
import type { JournalPosition } from "./journal/claim.ts";
import { JournalReader } from "./journal/replay.ts";
import { Deposed, JournalDamaged } from "./ports.ts";
import { RecallStalled } from "./recalls.ts";
import type { FrameFolder } from "./recovery.ts";
import type { Shard } from "./shard.ts";

/** Pause between two looks at a journal that had nothing new, milliseconds. */
const FOLLOW_MS = 100;
/** How long the users of a frame may take to come back, milliseconds: at least so long, at most twice. */
const FOLD_MS = 10_000;

/** Folding that leaves time to the shards which the node serves. */
export interface Pace {
  nowUs(): number;
  /** Called behind work since `began_us`: what to wait for before more of it, undefined for nothing. */
  rest(began_us: number): Promise<void> | undefined;
}

export class Follower {
  readonly shard: Shard;
  readonly folder: FrameFolder;
  readonly #reader: JournalReader;
  readonly #sleep: Sleep;
  #isEnding = false;
  #wake: () => void = () => {};
  #following: Promise<void> = Promise.resolve();
  /** Folds that waited for users so far, and what gives the one up that does. */
  #waits = 0;
  #giveUp: ((error: RecallStalled) => void) | null = null;
  #isWatched = false;

  /** It was at the journal's tail since it follows. */
  isCaughtUp = false;

  /**
   * `from`: where the state that `shard` holds was taken. Until it is at the tail for the first time it keeps to
   * `pace`. A rejecting `sleep` ends everything.
   */
  constructor(shard: Shard, from: JournalPosition, folder: FrameFolder, sleep: Sleep, pace: Pace) {
    this.shard = shard;
    this.folder = folder;
    this.#sleep = sleep;
    const fold = (header: FrameHeader, bytes: Uint8Array): Promise<void> | undefined => {
      const began_us = pace.nowUs();
      const folded = folder.fold(header, bytes);
      if (folded !== undefined) return this.#bounded(folded);
      return this.isCaughtUp || this.#isEnding ? undefined : pace.rest(began_us);
    };
    this.#reader = new JournalReader(shard.journal, from, fold, sleep);
  }

  /** A read that never returns must not keep the shard at a node that then claims it and cannot serve it. */
  async #bounded(folded: Promise<void>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    folded.then(resolve, reject);
    this.#waits++;
    this.#giveUp = reject;
    this.#watch();
    try {
      await promise;
    } finally {
      this.#giveUp = null;
    }
  }

  /** One timer for all folds: nearly all end long before it. */
  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    const waits = this.#waits;
    this.#sleep(FOLD_MS).then(
      () => {
        this.#isWatched = false;
        if (this.#giveUp === null) return;
        if (this.#waits > waits) this.#watch();
        else this.#giveUp(new RecallStalled(`passive users were not read within ${FOLD_MS} ms`));
      },
      // The node ends.
      () => {},
    );
  }

  /** Whether nobody else can be serving: the journal is empty, released, or `node` owned it last. */
  isVacant(node: string): boolean {
    const { owner } = this.folder;
    return this.#reader.position.sequence === 0 || owner === "" || owner === node;
  }

  /** The newest frame that was folded; 0 before the first. */
  get frame(): number {
    return this.#reader.position.sequence;
  }

  /** Folds up to the present tail. Rejects with JournalDamaged; with PassiveRecordLost when users do not come back. */
  async catchUp(): Promise<JournalPosition> {
    const at = await this.#reader.catchUp();
    this.isCaughtUp = true;
    return at;
  }

  /** Follows until finish(). Rejects with JournalDamaged: the shard cannot be served. */
  follow(): Promise<void> {
    this.#following = this.#loop();
    return this.#following;
  }

  async #loop(): Promise<void> {
    while (!this.#isEnding) {
      await this.catchUp();
      if (!this.#isEnding) await Promise.race([this.#sleep(FOLLOW_MS), this.#called()]);
    }
  }

  #called(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Ends following; what was folded stays as it is. */
  end(): void {
    this.#isEnding = true;
    this.#wake();
  }

  /** Looks at the journal now. */
  hurry(): void {
    this.#wake();
  }

  /**
   * Ends following and folds up to the own Takeover. Rejects with Deposed when a rival's stands behind it already, with
   * JournalDamaged when what was folded is not what the Takeover follows: the journal's tail was lost.
   */
  async finish(takeover: JournalPosition): Promise<void> {
    this.#isEnding = true;
    this.#wake();
    await this.#following;
    const at = await this.#reader.catchUp();
    if (at.epoch > takeover.epoch) throw new Deposed(at.epoch);
    if (at.sequence === takeover.sequence && sameChecksum(at.checksum, takeover.checksum)) return;
    throw new JournalDamaged("the state was folded from a tail that is lost", at.sequence);
  }
}
