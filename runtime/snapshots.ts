/**
 * Snapshots of a shard: cut at a tick boundary, written in short slices while traffic goes on, published only after the
 * cut's last frame is acknowledged. File: magic, header (JSON), content, footer (JSON with the frame's checksum and the
 * content's SHA-256), footer length. A snapshot that does not fit the journal or the layout is not loaded.
 */
import { createHash, type Hash } from "node:crypto";
import { JOURNAL_START, type JournalPosition } from "./journal/claim.ts";
import { ByteReader, ByteWriter } from "./kernel/bytes.ts";
import { type Clock, JournalDamaged, type SnapshotStore, type SnapshotWriter, type Timers } from "./ports.ts";
import type { Shard } from "./shard.ts";

const MAGIC = new TextEncoder().encode("FGSNAP01");
/** Bytes of one slice: about a millisecond of work. */
const SLICE_BYTES = 256 * 1024;
/** Pause between slices, milliseconds: at most a few per cent of the node's time. */
const SLICE_PAUSE_MS = 20;
/** Snapshots kept of a shard. */
export const SNAPSHOTS_KEPT = 2;

interface Header {
  readonly journal_id: string;
  readonly shard: number;
  readonly layout: string;
  readonly frame: number;
  readonly frame_time_us: number;
  readonly epoch: number;
  readonly watermarks: readonly number[];
}

interface Footer {
  readonly checksum: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** The snapshot file is damaged or of another layout: an older one, or the whole journal, is used instead. */
export class SnapshotUnusable extends Error {
  override name = "SnapshotUnusable";
}

export interface SnapshotterOptions {
  readonly store: SnapshotStore;
  readonly layout: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly onDone: (shard: Shard, frame: number, bytes: number, seconds: number) => void;
  readonly onFailed: (shard: Shard, error: Error) => void;
}

/** Takes one snapshot at a time. */
export class Snapshotter {
  readonly #o: SnapshotterOptions;
  #busy = false;

  constructor(o: SnapshotterOptions) {
    this.#o = o;
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** Cuts now; must be called between ticks. Resolves when it is published or failed. */
  async take(shard: Shard): Promise<void> {
    if (this.#busy || !shard.serving) return;
    this.#busy = true;
    const from = this.#o.clock.monotonicUs();
    try {
      const bytes = await this.#write(shard);
      this.#o.onDone(shard, bytes.frame, bytes.size, (this.#o.clock.monotonicUs() - from) / 1e6);
    } catch (e) {
      this.#o.onFailed(shard, e as Error);
    } finally {
      this.#busy = false;
    }
  }

  async #write(shard: Shard): Promise<{ frame: number; size: number }> {
    const frame = shard.nextFrame - 1;
    const header: Header = {
      journal_id: shard.journal.id,
      shard: shard.id,
      layout: this.#o.layout,
      frame,
      frame_time_us: shard.frameTimeUs,
      epoch: shard.epoch,
      watermarks: shard.covered(),
    };
    const checksum = checksumOf(shard, frame);
    // Whoever awaits it is told; the content may fail before.
    checksum.catch(() => {});
    shard.actors.beginSnapshot();
    const name = `${String(frame).padStart(16, "0")}.snapshot`;
    let out: SnapshotWriter | null = null;
    try {
      out = await this.#o.store.create(shard.id, name);
      const size = await this.#content(shard, out, header, checksum);
      await out.publish();
      await this.#trim(shard);
      return { frame, size };
    } catch (e) {
      shard.actors.abandonSnapshot();
      await out?.discard();
      throw e;
    }
  }

  async #content(shard: Shard, out: SnapshotWriter, header: Header, checksum: Promise<string>): Promise<number> {
    const hash = createHash("sha256");
    const head = new TextEncoder().encode(JSON.stringify(header));
    await out.write(MAGIC);
    await out.write(u32(head.length));
    await out.write(head);
    const w = new ByteWriter(SLICE_BYTES * 2);
    let size = 0;
    for (let done = false; !done; ) {
      w.reset();
      done = shard.actors.snapshotStep(w, SLICE_BYTES);
      const slice = w.copy();
      size += slice.length;
      hash.update(slice);
      await out.write(slice);
      await new Promise<void>((resolve) => this.#o.timers.after(SLICE_PAUSE_MS, resolve));
      if (!shard.serving) throw new Error(`shard ${shard.id} stopped during its snapshot`);
    }
    const footer: Footer = { checksum: await checksum, sha256: digest(hash), bytes: size };
    const foot = new TextEncoder().encode(JSON.stringify(footer));
    await out.write(foot);
    await out.write(u32(foot.length));
    return size;
  }

  async #trim(shard: Shard): Promise<void> {
    const names = await this.#o.store.list(shard.id);
    for (const name of names.slice(0, -SNAPSHOTS_KEPT)) await this.#o.store.remove(shard.id, name);
  }
}

/** Checksum of a frame once it is committed. Rejects when the shard stops first. */
function checksumOf(shard: Shard, frame: number): Promise<string> {
  if (frame === shard.committedFrame && shard.nextFrame === frame + 1) {
    return Promise.resolve(Buffer.from(shard.checksum).toString("hex"));
  }
  return new Promise((resolve, reject) => {
    shard.whenCommitted(frame).catch(reject);
    const before = shard.onCommitted;
    shard.onCommitted = (number, checksum) => {
      before(number, checksum);
      if (number !== frame) return;
      shard.onCommitted = before;
      resolve(Buffer.from(checksum).toString("hex"));
    };
  });
}

/** Loads the newest usable snapshot into the shard's empty actors; returns where its journal is to be replayed from. */
export async function loadSnapshot(
  shard: Shard,
  store: Pick<SnapshotStore, "list" | "read">,
  layout: string,
  onUnusable: (name: string, error: Error) => void,
): Promise<JournalPosition> {
  for (const name of [...(await store.list(shard.id))].reverse()) {
    const parts: Uint8Array[] = [];
    for await (const part of store.read(shard.id, name)) parts.push(part);
    const bytes = Buffer.concat(parts);
    try {
      const { header, footer, content } = open(bytes, shard, layout);
      shard.actors.load(new ByteReader(content));
      shard.watermarks.set(header.watermarks);
      return {
        sequence: header.frame,
        checksum: Buffer.from(footer.checksum, "hex"),
        epoch: header.epoch,
        frameTimeUs: header.frame_time_us,
      };
    } catch (e) {
      if (!(e instanceof SnapshotUnusable)) throw e;
      onUnusable(name, e);
    }
  }
  return JOURNAL_START;
}

function open(bytes: Buffer, shard: Shard, layout: string): { header: Header; footer: Footer; content: Buffer } {
  if (bytes.length < 20 || !bytes.subarray(0, 8).equals(MAGIC)) throw new SnapshotUnusable("not a snapshot");
  const headEnd = 12 + bytes.readUInt32LE(8);
  const footLength = bytes.readUInt32LE(bytes.length - 4);
  const footStart = bytes.length - 4 - footLength;
  if (headEnd > footStart) throw new SnapshotUnusable("ends early");
  let header: Header;
  let footer: Footer;
  try {
    header = JSON.parse(bytes.toString("utf8", 12, headEnd));
    footer = JSON.parse(bytes.toString("utf8", footStart, bytes.length - 4));
  } catch {
    throw new SnapshotUnusable("header or footer is damaged");
  }
  const content = bytes.subarray(headEnd, footStart);
  if (header.layout !== layout) throw new SnapshotUnusable(`layout ${header.layout}, this code reads ${layout}`);
  if (header.shard !== shard.id) throw new SnapshotUnusable(`of shard ${header.shard}`);
  if (header.journal_id !== shard.journal.id) {
    // Going on would begin an empty history where there was one.
    const advice = "restore the journal, or remove the snapshots to begin anew";
    throw new JournalDamaged(`there is a snapshot of another journal, ${header.journal_id}: ${advice}`, header.frame);
  }
  if (content.length !== footer.bytes || digest(createHash("sha256").update(content)) !== footer.sha256) {
    throw new SnapshotUnusable("content does not match its checksum");
  }
  return { header, footer, content };
}

function digest(h: Hash): string {
  return h.digest("hex");
}

function u32(v: number): Uint8Array {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(v);
  return b;
}
