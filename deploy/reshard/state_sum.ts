/** The windows of all actors of some shards, told so that neither the number of shards nor a frame number counts. */
import { createHash } from "node:crypto";
import type { FraudActors } from "../../actors/decision/shard_actors.ts";
import { DigestSum } from "./row_sum.ts";

export interface StateSums {
  /** Of all users. */
  readonly users: string;
  readonly user_count: number;
  /** Digest of each merchant and device, by kind and key. */
  readonly entities: ReadonlyMap<string, string>;
}

/**
 * Of the actors of all shards. Late ids and outcomes stand in no window: the sum of the rows accounts for them.
 */
export function stateSums(shards: readonly FraudActors[]): StateSums {
  const users = new DigestSum();
  const entities = new Map<string, string>();
  for (const actors of shards) {
    const [u, ...others] = actors.exports();
    eachActor(u, (_, text) => users.add(text));
    for (const [kind, lines] of others.entries()) {
      eachActor(lines, (key, text) => {
        entities.set(`${kind} ${key}`, createHash("sha256").update(text).digest("base64"));
      });
    }
  }
  return { users: users.text, user_count: users.count, entities };
}

/** Entities whose windows differ, or that only one of both knows. */
export function differentEntities(a: StateSums, b: StateSums): number {
  let different = 0;
  for (const [key, digest] of a.entities) if (b.entities.get(key) !== digest) different++;
  for (const key of b.entities.keys()) if (!a.entities.has(key)) different++;
  return different;
}

/** Tells each actor: its key; its head and its events without the frames that hold them, in an order of their own. */
function eachActor(lines: Iterable<string>, tell: (key: string, text: string) => void): void {
  let head = "";
  let events: string[] = [];
  const close = (): void => {
    if (head !== "") tell(head.slice(0, head.indexOf(" ")), `${head}${events.sort().join("\n")}`);
    events = [];
  };
  for (const line of lines) {
    if (line.startsWith("  ")) {
      const words = line.trim().split(" ");
      words.splice(-2, 1);
      events.push(words.join(" "));
      continue;
    }
    close();
    head = line;
  }
  close();
}
