/** The journals of a node that only takes payments: it has no way to them, and never asks. */
import { type Journal, type JournalStore, JournalUnavailable } from "../../runtime/ports.ts";

export class NoJournals implements JournalStore {
  open(shard: number): Promise<Journal> {
    const refused = (): Promise<never> => Promise.reject(new JournalUnavailable("a gateway has no journals"));
    return Promise.resolve({
      shard,
      id: "",
      appends_max: 1,
      append: refused,
      tail: refused,
      read: refused,
      state: refused,
      // biome-ignore lint/correctness/useYield: there is nothing to give.
      async *readFrom() {
        await refused();
      },
    });
  }
}
