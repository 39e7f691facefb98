/**
 * A shard on its way to be served: its state is brought up to the journal's tail and kept there, so that a claim finds
 * next to nothing left to fold. Following writes nothing and asks nobody.
 */

import type { Sleep } from "./journal/checked.ts";
import type { JournalPosition } from "./journal/claim.ts";
import { JournalReader } from "./journal/replay.ts";
import type { FrameFolder } from "./recovery.ts";
import type { Shard } from "./shard.ts";

/** Pause between two looks at a journal that had nothing new, milliseconds. */
const FOLLOW_MS = 100;

export class Follower {
  readonly shard: Shard;
  readonly folder: FrameFolder;
  readonly #reader: JournalReader;
  readonly #sleep: Sleep;
  #isEnding = false;
  #following: Promise<void> = Promise.resolve();

  /** `from`: where the state that `shard` holds was taken. A rejecting `sleep` ends everything. */
  constructor(shard: Shard, from: JournalPosition, folder: FrameFolder, sleep: Sleep) {
    this.shard = shard;
    this.folder = folder;
    this.#sleep = sleep;
    this.#reader = new JournalReader(shard.journal, from, (header, bytes) => folder.fold(header, bytes), sleep);
  }

  /** Folds up to the present tail. Rejects with JournalDamaged. */
  catchUp(): Promise<JournalPosition> {
    return this.#reader.catchUp();
  }

  /** Follows until finish(). Rejects with JournalDamaged: the shard cannot be served. */
  follow(): Promise<void> {
    this.#following = this.#loop();
    return this.#following;
  }

  async #loop(): Promise<void> {
    while (!this.#isEnding) {
      await this.#reader.catchUp();
      if (!this.#isEnding) await this.#sleep(FOLLOW_MS);
    }
  }

  /** Ends following and folds up to the present tail, where the own Takeover stands. */
  async finish(): Promise<JournalPosition> {
    this.#isEnding = true;
    await this.#following;
    return this.#reader.catchUp();
  }
}
