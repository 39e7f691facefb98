/** A journal byte for byte under another name: the same id, the same frames at the same sequences. */
import { sameChecksum } from "../../proto/frame/frame_header.ts";
import type { Sleep } from "../../runtime/journal/checked.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import type { Journal } from "../../runtime/ports.ts";
import { ReshardError } from "./errors.ts";

/** Appends under way, unless the journal takes one at a time. */
const IN_FLIGHT = 8;

/** Copies all frames of `from` to the empty `to`, then reads them back. Rejects with JournalDamaged, ReshardError. */
export async function copyJournal(from: Journal, to: Journal, sleep: Sleep): Promise<void> {
  const underWay: Promise<void>[] = [];
  const inFlight = to.appends_max === 1 ? 1 : IN_FLIGHT;
  const end = await replay(
    from,
    JOURNAL_START,
    async ({ frameNumber }, bytes) => {
      const sent = to.append(bytes, frameNumber - 1).then((result) => {
        if (result.kind === "appended" && result.sequence === frameNumber) return;
        throw new ReshardError("not_written", `frame ${frameNumber} of shard ${to.shard}: ${result.kind}`);
      });
      sent.catch(() => {});
      underWay.push(sent);
      if (underWay.length >= inFlight) await underWay.shift();
    },
    sleep,
  );
  await Promise.all(underWay);
  const copied = await replay(to, JOURNAL_START, () => {}, sleep);
  if (copied.sequence === end.sequence && sameChecksum(copied.checksum, end.checksum)) return;
  throw new ReshardError(
    "differs",
    `the copy of shard ${from.shard} ends at ${copied.sequence}, not at ${end.sequence}`,
  );
}
