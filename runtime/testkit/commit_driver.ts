/** An owner without actors, for tests of journals: claims, keeps its committer full, and knows what it was told. */
import assert from "node:assert/strict";
import { claim, JOURNAL_START } from "../journal/claim.ts";
import { Committer, type CommitterEvents } from "../journal/committer.ts";
import { replay } from "../journal/replay.ts";
import type { Deposed, Journal, JournalDamaged } from "../ports.ts";
import { nextFrame } from "./frames.ts";

const FRAME_BYTES = 20_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class CommitDriver implements CommitterEvents {
  readonly told: number[] = [];
  readonly sent = new Map<number, Buffer>();
  end: Error | null = null;
  committer: Committer | null = null;
  enough = Number.POSITIVE_INFINITY;

  /** An owner that has claimed the journal and submits frames until `enough` are committed. */
  static async start(journal: Journal, node: string): Promise<CommitDriver> {
    const takeover = await claim(journal, { node, bootId: "b" }, 1, sleep);
    const driver = new CommitDriver();
    driver.committer = new Committer(journal, takeover, driver, sleep);
    driver.fill();
    return driver;
  }

  committed(sequence: number): void {
    this.told.push(sequence);
    this.fill();
  }

  stopped(error: Deposed | JournalDamaged): void {
    this.end = error;
  }

  fill(): void {
    while (this.committer?.canSubmit && this.told.length < this.enough) {
      const frame = nextFrame(this.committer, FRAME_BYTES, this.committer.nextFrameNumber & 0xff);
      this.sent.set(this.committer.nextFrameNumber, Buffer.from(frame));
      this.committer.submit(frame);
    }
  }

  /** The whole journal verifies and holds exactly what the driver was told, as it was sent. */
  async check(journal: Journal): Promise<void> {
    const found = new Map<number, Buffer>();
    await replay(
      journal,
      JOURNAL_START,
      (header, bytes) => void found.set(header.frameNumber, Buffer.from(bytes)),
      sleep,
    );
    for (const sequence of this.told) {
      assert.ok(found.get(sequence)?.equals(this.sent.get(sequence) as Buffer), `committed frame ${sequence}`);
    }
    assert.deepEqual(
      this.told,
      this.told.map((_, i) => this.told[0] + i),
    );
  }
}
