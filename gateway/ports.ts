/** What gateways ask of the node besides the intake: stored decisions (a cold read), and whether it serves. */

/** A keyed 64-bit hash as two unsigned words: (hi, lo). */
export type KeyPair = readonly [hi: number, lo: number];

/** Reads decisions that stand in a journal. */
export interface DecisionReader {
  /**
   * The bytes of the stored Decision message, or null when there is none. `transactionIdHash` and `userKey` are the
   * hashes of the columns `id` and `user`; without a user all shards are asked. Rejects when no answer can be had now:
   * answered as UNAVAILABLE.
   */
  findDecision(tenantIndex: number, transactionIdHash: KeyPair, userKey: KeyPair | null): Promise<Uint8Array | null>;
}

/** Whether the node decides payments now; the text says what is missing. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
}
