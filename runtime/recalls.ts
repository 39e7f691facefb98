/**
 * What a block waits for before it becomes a tick: its users that are not in memory are read. One block waits at a
 * time, and what came behind it waits too, so the wait has an end: scratch that does not answer costs this node the
 * shards whose users it holds, and no others.
 */
import type { RowBlock } from "../proto/columns.ts";
import { PassiveRecordLost } from "./kernel/windows/passive_log.ts";
import type { Clock, Timers } from "./ports.ts";
import type { Shard } from "./shard.ts";

/** How long a block waits for its users, milliseconds. */
export const RECALL_MS = 2000;

/** A read of passive users did not end: this node cannot serve the shard, another one may. */
export class RecallStalled extends PassiveRecordLost {
  override name = "RecallStalled";
}

/** Shards asked at one moment. */
interface Round {
  /** Those that have not answered yet. */
  readonly waiting: Set<Shard>;
  readonly untilUs: number;
  readonly over: () => void;
}

export interface RecallsOptions {
  /** By number; a shard that is loaded anew is another object. */
  readonly shards: readonly Shard[];
  readonly clock: Clock;
  readonly timers: Timers;
  /** Users of a shard cannot be brought back. */
  readonly lost: (shard: Shard, error: unknown) => void;
}

export class Recalls {
  readonly #o: RecallsOptions;
  #round: Round | null = null;
  #isWatched = false;

  constructor(o: RecallsOptions) {
    this.#o = o;
  }

  /** A block waits. */
  get isUnderWay(): boolean {
    return this.#round !== null;
  }

  /**
   * Calls `run` when the users of the block's rows are in memory, as far as this node takes rows of them: at once when
   * they are, which `hasWaited` says. Not to be called while a block waits.
   */
  before(block: RowBlock, run: (hasWaited: boolean) => void): void {
    this.#ask(block, new Set(), run, false);
  }

  #ask(block: RowBlock, asked: Set<Shard>, run: (hasWaited: boolean) => void, hasWaited: boolean): void {
    const { shards, clock } = this.#o;
    const recalls: [Shard, Promise<void>][] = [];
    for (const s of shards) {
      if (!s.accepting || asked.has(s)) continue;
      asked.add(s);
      const recall = s.actors.recall(block, s.id);
      if (recall !== null) recalls.push([s, recall]);
    }
    if (recalls.length === 0) {
      run(hasWaited);
      return;
    }
    // A shard that began to take rows meanwhile is asked too.
    const over = (): void => this.#ask(block, asked, run, true);
    const waiting = new Set(recalls.map(([s]) => s));
    const round = { waiting, untilUs: clock.monotonicUs() + RECALL_MS * 1000, over };
    this.#round = round;
    for (const [s, recall] of recalls) {
      recall.catch((error) => this.#o.lost(s, error)).then(() => this.#answered(round, s));
    }
    this.#watch(RECALL_MS);
  }

  #answered(round: Round, s: Shard): void {
    round.waiting.delete(s);
    if (round.waiting.size > 0 || this.#round !== round) return;
    this.#round = null;
    round.over();
  }

  /** One timer looks after all rounds: nearly all end long before it. */
  #watch(ms: number): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#o.timers.after(ms, () => {
      this.#isWatched = false;
      this.#look();
    });
  }

  #look(): void {
    const round = this.#round;
    if (round === null) return;
    const left_us = round.untilUs - this.#o.clock.monotonicUs();
    if (left_us > 0) {
      this.#watch(Math.ceil(left_us / 1000));
      return;
    }
    this.#round = null;
    for (const s of round.waiting) {
      this.#o.lost(s, new RecallStalled(`passive users were not read within ${RECALL_MS} ms`));
    }
    round.over();
  }
}
