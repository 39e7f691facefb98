/**
 * A local nats-server that is started again whenever it ends unasked, over the same store and on the same port, so that
 * every client of it finds it again. A server that cannot be started is tried again, for ever, with growing pauses. One
 * that runs and is not ready for a while is ended, to be started again: a write to a full disk turns its JetStream off
 * until then.
 */
import { setTimeout as delay } from "node:timers/promises";
import { EngineError, messageOf } from "./errors.ts";
import { type NatsEngine, type NatsOptions, startNats } from "./nats.ts";

const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 5000;
const CHECK_MS = 5000;
/** Looks in a row that found it not ready before it is ended: one that is slow gets the time. */
const UNREADY_LOOKS = 4;
const STOP_MS = 2000;

export interface KeptNatsOptions extends NatsOptions {
  /** Told when the server ended unasked, and when a try to start it failed. */
  readonly onDown: (message: string) => void;
  /** Told when it serves again. */
  readonly onUp: (engine: NatsEngine) => void;
  /** How often it is asked whether it is ready, milliseconds; default 5,000. */
  readonly check_ms?: number;
}

export class KeptNats {
  readonly #options: KeptNatsOptions;
  #engine: NatsEngine;
  #ending = false;
  #restart: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #unready = 0;

  private constructor(options: KeptNatsOptions, engine: NatsEngine) {
    this.#options = options;
    this.#engine = engine;
    this.#watch();
    this.#timer = setTimeout(() => this.#look(), options.check_ms ?? CHECK_MS);
  }

  static async start(options: KeptNatsOptions): Promise<KeptNats> {
    return new KeptNats(options, await startNats(options));
  }

  /** The same for ever. */
  get url(): string {
    return this.#engine.url;
  }

  /** Of the process that serves now, or served last. */
  get pid(): number {
    return this.#engine.pid;
  }

  /** Ends it; it is not started again. */
  async stop(grace_ms?: number): Promise<void> {
    this.#ending = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#restart;
    await this.#engine.stop(grace_ms);
  }

  async #look(): Promise<void> {
    const engine = this.#engine;
    const why = await engine.check().then(
      () => null,
      (error: unknown) => messageOf(error),
    );
    if (this.#ending) return;
    this.#unready = why === null || engine !== this.#engine ? 0 : this.#unready + 1;
    if (this.#unready >= UNREADY_LOOKS) {
      this.#unready = 0;
      this.#options.onDown(`nats-server runs and is not ready, it is started again: ${why}`);
      // What it does then is what it does when it ends unasked.
      await engine.stop(STOP_MS).catch((error: unknown) => this.#options.onDown(messageOf(error)));
    }
    if (!this.#ending) this.#timer = setTimeout(() => this.#look(), this.#options.check_ms ?? CHECK_MS);
  }

  #watch(): void {
    this.#engine.exited.then(
      ({ code }) => this.#ended(`nats-server ended with code ${code}`),
      (error: unknown) => this.#ended(`nats-server ended: ${messageOf(error)}`),
    );
  }

  #ended(message: string): void {
    if (this.#ending) return;
    this.#options.onDown(message);
    this.#restart = this.#startAgain();
  }

  async #startAgain(): Promise<void> {
    for (let pause_ms = PAUSE_MS_MIN; !this.#ending; pause_ms = Math.min(PAUSE_MS_MAX, pause_ms * 2)) {
      try {
        this.#engine = await this.#onSamePort();
        this.#watch();
        this.#options.onUp(this.#engine);
        return;
      } catch (error) {
        this.#options.onDown(`nats-server cannot be started again: ${messageOf(error)}`);
        await delay(pause_ms);
      }
    }
  }

  /** Another port would serve nobody: clients look for it on the old one. */
  async #onSamePort(): Promise<NatsEngine> {
    const { port } = this.#engine;
    const engine = await startNats({ ...this.#options, port });
    if (engine.port === port) return engine;
    await engine.stop();
    throw new EngineError("not_ready", "nats", `its port ${port} is taken`);
  }
}
