/** The end of serving when a process ends as planned: each journal that it owns is released. */
import type { Owner } from "./journal/takeover.ts";
import type { Timers } from "./ports.ts";
import type { Shard } from "./shard.ts";

/** Releases what still serves, and stops it; what takes longer than `limit_ms` in all is given up, and told. */
export async function releaseAll(
  shards: readonly Shard[],
  owner: Owner,
  timers: Timers,
  limit_ms: number,
  onFailed: (shard: Shard, error: Error) => void,
): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<void>();
  late.catch(() => {});
  const stopTimer = timers.every(limit_ms, () => reject(new Error("release timed out")));
  for (const s of shards) {
    if (!s.serving || s.committer === null) continue;
    try {
      // Being handed over, it has begun to.
      if (!s.accepting) throw new Error("its hand-over did not end in time");
      await Promise.race([s.committer.release(owner, s.frameTimeUs + 1), late]);
    } catch (e) {
      onFailed(s, e as Error);
      s.committer.abandon();
    }
    s.stop(new Error("released"));
  }
  stopTimer();
}
