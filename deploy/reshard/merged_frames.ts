/**
 * Several journals read at once, each verified from its first frame, handed over one frame at a time in the order of
 * their frame times: about the order in which they were decided.
 */
import type { FrameHeader } from "../../proto/frame/frame_header.ts";
import type { Sleep } from "../../runtime/journal/checked.ts";
import { JOURNAL_START } from "../../runtime/journal/claim.ts";
import { replay } from "../../runtime/journal/replay.ts";
import type { Journal } from "../../runtime/ports.ts";

export type OnMerged = (source: number, header: FrameHeader, bytes: Uint8Array) => Promise<void>;

interface Head {
  readonly header: FrameHeader;
  readonly bytes: Uint8Array;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/** Reads all of them up to their tails. Rejects with JournalDamaged, or with what `onFrame` rejects with. */
export async function mergeFrames(journals: readonly Journal[], onFrame: OnMerged, sleep: Sleep): Promise<void> {
  const heads: (Head | null)[] = journals.map(() => null);
  let running = journals.length;
  let busy = false;
  const next = async (): Promise<void> => {
    // The earliest is known only when each journal that goes on has shown its next frame.
    if (busy || heads.filter((h) => h !== null).length < running || running === 0) return;
    busy = true;
    let first = -1;
    for (const [i, head] of heads.entries()) {
      if (head === null) continue;
      if (first < 0 || head.header.frameTimeUs < (heads[first] as Head).header.frameTimeUs) first = i;
    }
    const head = heads[first] as Head;
    heads[first] = null;
    try {
      await onFrame(first, head.header, head.bytes);
      busy = false;
      head.done();
    } catch (error) {
      head.failed(error as Error);
    }
  };
  const read = async (journal: Journal, i: number): Promise<void> => {
    const offer = (header: FrameHeader, bytes: Uint8Array): Promise<void> =>
      new Promise((resolve, reject) => {
        heads[i] = { header, bytes, done: resolve, failed: reject };
        void next();
      });
    await replay(journal, JOURNAL_START, offer, sleep);
    running--;
    void next();
  };
  await Promise.all(journals.map(read));
}
