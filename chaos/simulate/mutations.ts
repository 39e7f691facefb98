/**
 * One-line defects of production code, each of which the simulator must notice: the proof that its checkers check. They
 * are put in while a simulation process loads its modules (mutation_hook.ts); no file changes.
 */
import type { SourceEdit } from "./mutation_hook.ts";

export interface Mutation extends SourceEdit {
  readonly name: string;
  /** A seed that notices it: the test tries it first, then 1, 2, 3... */
  readonly seed?: number;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "no fencing: a Takeover does not raise the epoch",
    file: "runtime/journal/claim.ts",
    from: "epoch: last.epoch + 1,",
    to: "epoch: Math.max(1, last.epoch),",
  },
  {
    name: "reply before the acknowledgement",
    file: "runtime/tick_loop.ts",
    from: '(owns(tick, s) && this.#state !== "ended") this.#form(tick, s);',
    to:
      '(owns(tick, s) && this.#state !== "ended") ' +
      "{ this.#form(tick, s); this.#answer(tick, tick.rows[s.id], 1); }",
  },
  {
    name: "repeats not recognised",
    file: "actors/user/user_actors.ts",
    from: "if (known >= 0 && this.#isRepeat(b, r, known)) return REPEATED;",
    to: "if (known < 0 && this.#isRepeat(b, r, known)) return REPEATED;",
  },
  {
    name: "a frame in flight is formed again",
    file: "runtime/journal/committer.ts",
    from: "result = await this.#journal.append(flight.bytes, flight.sequence - 1);",
    to: "result = await this.#journal.append(flight.bytes.map((b, i) => b ^ +(i === 200)), flight.sequence - 1);",
  },
  {
    name: "late overlay: a row stays when its frame is folded",
    file: "runtime/overlay.ts",
    from: "while (i >= 0 && this.#frame[i] <= frame) {",
    to: "while (i >= 0 && this.#frame[i] < frame) {",
  },
  {
    name: "overlay in the state: a row in flight is folded",
    file: "actors/entity/merchant_actors.ts",
    from: "    const user = this.#users.code(b.user.hi[r], b.user.lo[r]);\n    if",
    to:
      "    const user = this.#users.code(b.user.hi[r], b.user.lo[r]);\n" +
      "    this.windows.append(this.windows.slot(hi, lo), t, b.amountBase[r], user, 0, 0, 0);\n    if",
  },
  {
    name: "snapshot published before its last frame is acknowledged",
    seed: 10,
    file: "runtime/snapshots.ts",
    from: "if (frame === shard.committedFrame && shard.nextFrame === frame + 1) {",
    to: "if (shard.nextFrame === frame + 1) {",
  },
  {
    name: "a frame is skipped in replay",
    file: "runtime/recovery.ts",
    from: "if (header.kind !== KIND_ROWS) return undefined;",
    to: "if (header.kind !== KIND_ROWS || header.frameNumber % 50 === 49) return undefined;",
  },
  {
    name: "a damaged frame is sent over",
    seed: 12,
    file: "proto/frame/frame_header.ts",
    from: "if (!sameChecksum(digest.subarray(0, CHECKSUM_BYTES), header.checksum)) {",
    to: "if (digest.length === 0) {",
  },
  {
    name: "a journal made anew is trusted",
    seed: 509,
    file: "runtime/snapshots.ts",
    from: "if (header.journal_id !== shard.journal.id) {",
    to: 'if (header.journal_id !== shard.journal.id) { throw new SnapshotUnusable("of another journal");',
  },
  {
    name: "a lost tail is taken for the past",
    seed: 13,
    file: "runtime/journal/committer.ts",
    from: "if (tail === null || sequence < committed.sequence) {",
    to: 'if (tail === null || sequence < committed.sequence) { return "nothing";',
  },
  {
    name: "a provisional answer is journaled",
    file: "runtime/tick_loop.ts",
    from: "if (tick.payments > 0) this.#decide(tick);",
    to: "if (tick.payments > 0) this.#decide(tick);" + " if (from - b.openedUs > 1e6) b.outcome.fill(3, 0, b.n);",
  },
  {
    name: "tenant ignored: one key for all",
    file: "gateway/codec/tenant_codec.ts",
    from: "this.k0 = tenant.hash_key[0] | 0;",
    to: "this.k0 = 7;",
  },
  {
    name: "an inbox row is folded twice",
    file: "runtime/shard.ts",
    from: "      this.actors.foldInbox(rows, i);",
    to: "      this.actors.foldInbox(rows, i); if (i % 16 === 3) this.actors.foldInbox(rows, i);",
  },
  {
    name: "inbox rows are lost at a restart",
    file: "runtime/inbox.ts",
    from: "target.watermarks[source]) + 1;",
    to: "target.watermarks[source]) + 2;",
  },
  {
    name: "a deposed owner says not found",
    seed: 12,
    file: "runtime/repeats.ts",
    from: "for (const s of shards) await s.confirmOwner();",
    to: "",
  },
  {
    name: "an owner whose journal server is in the minority says not found",
    seed: 33,
    file: "runtime/repeats.ts",
    from: "await this.#hasMajority();",
    to: "",
  },
  {
    name: "rows of a stopped shard are answered as decided",
    seed: 2,
    file: "runtime/tick_loop.ts",
    from:
      "for (let i = 0; i < tick.counts[s.id]; i++) tick.block.error[tick.rows[s.id][i]] = ErrorCode.UNAVAILABLE;" +
      "\n      this.#answer",
    to: "this.#answer",
  },
  {
    name: "a repeat is answered before its frame stands",
    file: "runtime/shard.ts",
    from: "    await this.whenCommitted(frame);\n",
    to: "",
  },
  {
    name: "other content under a known id is taken for a repeat",
    file: "runtime/repeats.ts",
    from: "[4, (a, i, b, j) => a.amountMinor[i] === b.amountMinor[j]],",
    to: "",
  },
  {
    name: "frame time follows a wall clock that jumps back",
    seed: 12,
    file: "runtime/journal/claim.ts",
    from: "frameTimeUs: Math.max(last.frameTimeUs, wallUs),",
    to: "frameTimeUs: wallUs,",
  },
  {
    name: "a snapshot forgets what its inboxes folded",
    seed: 15,
    file: "runtime/snapshots.ts",
    from: "shard.watermarks.set(header.watermarks);",
    to: "",
  },
  {
    name: "a damaged snapshot is loaded",
    seed: 87,
    file: "runtime/snapshot_format.ts",
    from: "if (!(await this.#take(LINK_BYTES)).equals(this.#link)) {",
    to: "if ((await this.#take(LINK_BYTES)).length === 0) {",
  },
  {
    name: "an event's id is not remembered",
    file: "actors/user/user_actors.ts",
    from: "    this.cold.add(b.user.hi[r], b.user.lo[r], idHi, b.id.lo[r], frame);\n    const t",
    to: "    const t",
  },
  {
    name: "an older revision of an outcome wins",
    seed: 133,
    file: "actors/user/user_actors.ts",
    from: "if (standing >= b.revision[r]) {",
    to: "if (standing === b.revision[r]) {",
  },
  {
    name: "a score that came too late is used all the same",
    file: "runtime/tick_loop.ts",
    from: "if (b.kind[r] === ROW_PAYMENT) b.degraded[r] |= DEGRADED_MODEL;",
    to: "if (b.kind[r] === ROW_PAYMENT) b.score[r] = 0.5;",
  },
  {
    name: "a late event within the tolerance changes no window",
    file: "runtime/kernel/windows/window_store.ts",
    from: "newest - timeUs > this.plan.lateUs ||",
    to: "newest - timeUs > this.plan.lateUs / 2 ||",
  },
  {
    name: "a range of committed rows hides a gap",
    seed: 8,
    file: "runtime/inbox.ts",
    from: "if (target.received[source] < after) {",
    to: "if (target.received[source] < 0) {",
  },
  {
    name: "rows told by range are queued twice",
    seed: 8,
    file: "runtime/inbox.ts",
    from: "if (rows.frame[i] > target.received[source]) target",
    to: "target",
  },
  {
    name: "rows that an earlier epoch announced stay in the overlay",
    file: "runtime/shard.ts",
    from: "this.actors.abandon(source, isNext ? takeover : Math.min(takeover, this.received[source] + 1));",
    to: "",
  },
  {
    name: "an answer for other rows is taken",
    file: "runtime/cluster/router.ts",
    from: "copyAnswer(this.#answers, i, lane.block, rows[i]);",
    to: "copyAnswer(this.#answers, rows.length - 1 - i, lane.block, rows[i]);",
  },
  {
    name: "not found is said without asking the shard's owner",
    file: "runtime/cluster/finder.ts",
    from: "serves(shard) ? node : routes.node(shard)",
    to: "node",
  },
  {
    name: "a shard goes on with half of a row that an actor failed on",
    file: "runtime/stage.ts",
    from: "  fail(tick, own, error);\n",
    to: "  if (error === null) fail(tick, own, error);\n",
  },
  {
    name: "a row that an actor failed on meets it again",
    file: "runtime/stage.ts",
    from: "if (quarantine.size > 0 && quarantine.holds(b, r)) {",
    to: "if (quarantine.size > 1e6) {",
  },
  {
    name: "columns of another question are used",
    file: "runtime/cluster/exchange_desk.ts",
    from: "const from = i * this.#stride;",
    to: "const from = (rows.n - 1 - i) * this.#stride;",
  },
  {
    name: "a question about a frame that was told already joins the overlay again",
    seed: 8,
    file: "runtime/shard.ts",
    from: "if (!this.answering || frame <= this.#answered[source] || frame <= this.received[source]) return false;",
    to: "if (!this.answering) return false;",
  },
  {
    name: "a user comes back without its newest payment in its windows",
    seed: 3,
    file: "runtime/kernel/windows/passive_actors.ts",
    from: "table.readActor(slot, r, (s, from, end) => extras.read(s, from, end));",
    to:
      "table.readActor(slot, r, (s, from, end) => extras.read(s, from, end)); " +
      "if (table.count(slot) > 0) table.reverse(slot, table.count(slot) - 1);",
  },
  {
    name: "a payment of a user that is not in memory is not found",
    seed: 3,
    file: "runtime/kernel/windows/passive_actors.ts",
    from: "if (data.getUint32(o + WORD_ID_HI * 4, true) === idHi) return",
    to: "if (data.getUint32(o + WORD_ID_HI * 4, true) === idLo) return",
  },
  {
    name: "a tick does not wait for its users",
    seed: 3,
    file: "runtime/recalls.ts",
    from: "const recall = s.actors.recall(block, s.id);",
    to: "const recall = null as ReturnType<typeof s.actors.recall>;",
  },
  {
    name: "sealed sections share a nonce",
    seed: 1,
    file: "proto/frame/sealer.ts",
    from: "      this.#fillRandom(nonce);\n",
    to: "",
  },
];
