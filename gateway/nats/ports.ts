/** What the gateway needs of the public NATS streams; the NATS adapter of the runtime has this shape. */

/** One published message. One of ack() and nak() is called once. */
export interface PublicMessage {
  readonly data: Uint8Array;
  readonly sequence: number;
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
  /** First value of a header, any case; undefined without. */
  header(name: string): string | undefined;
  ack(): void;
  /** Asks for it again after `delay_ms`. */
  nak(delay_ms: number): void;
}

export interface PublicStreams {
  /** Delivers messages until the returned function is called; it resolves when no more come. */
  consume(take: (message: PublicMessage) => void): Promise<() => Promise<void>>;
  /** Resolves when stored. */
  publishDecisions(bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<void>;
  publishDeadLetter(bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<void>;
}
