/**
 * A simulated machine: the clock and the timers of one process at a time on a SimWorld. A crash drops everything that
 * process waited for; a pause holds it back until the process goes on; a wall clock may jump, the monotonic one never.
 */
import type { Clock, Timers } from "../../runtime/ports.ts";
import type { SimWorld } from "../../runtime/testkit/sim_world.ts";

export type HostState = "up" | "paused" | "down";

export class SimHost implements Clock, Timers {
  readonly world: SimWorld;
  readonly name: string;
  state: HostState = "up";
  /** How far this machine's wall clock is off, microseconds. */
  wallOffsetUs = 0;
  /** Requests to the journals do not arrive; answers do not come back. */
  requestsCut = false;
  answersCut = false;
  /** Its journal server is in the minority: the last sequence of a shard that this one knows. Null: it is not. */
  frozenTail: ((shard: number) => number) | null = null;
  /** Counts the processes that ran here. */
  #life = 0;
  #held: (() => void)[] = [];

  constructor(world: SimWorld, name: string) {
    this.world = world;
    this.name = name;
  }

  monotonicUs(): number {
    return this.world.monotonicUs();
  }

  wallUs(): number {
    return this.world.wallUs() + this.wallOffsetUs;
  }

  soon(run: () => void): void {
    this.after(0.01, run);
  }

  after(delay_ms: number, run: () => void): void {
    const life = this.#life;
    this.world.after(delay_ms, () => this.#run(life, run));
  }

  every(delay_ms: number, run: () => void): () => void {
    let ended = false;
    const again = (): void => {
      if (ended) return;
      run();
      this.after(delay_ms, again);
    };
    this.after(delay_ms, again);
    return () => {
      ended = true;
    };
  }

  readonly sleep = (ms: number): Promise<void> => new Promise((resolve) => this.after(ms, resolve));

  /** What came of `work` outside, told to the process that asked, if it still runs, when it runs. */
  deliver<T>(work: Promise<T>): Promise<T> {
    const life = this.#life;
    return new Promise((resolve, reject) => {
      work.then(
        (value) => this.#run(life, () => resolve(value)),
        (error) => this.#run(life, () => reject(error)),
      );
    });
  }

  /** Ends the process that runs: nothing it waited for comes any more. */
  crash(): void {
    this.state = "down";
    this.#life++;
    this.#held = [];
  }

  boot(): void {
    if (this.state === "down") this.state = "up";
  }

  pause(): void {
    if (this.state === "up") this.state = "paused";
  }

  resume(): void {
    if (this.state !== "paused") return;
    this.state = "up";
    for (const run of this.#held.splice(0)) this.soon(run);
  }

  #run(life: number, run: () => void): void {
    if (life !== this.#life || this.state === "down") return;
    if (this.state === "paused") this.#held.push(run);
    else run();
  }
}
