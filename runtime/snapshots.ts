/**
 * Snapshots of a shard: cut at a tick boundary, written in short slices while traffic goes on, read back, and published
 * after the cut's last frame is acknowledged. Loaded in slices too, so that a node that serves other shards goes on.
 * One that does not fit the journal or the layout is not loaded.
 */
import { untilReachable } from "./journal/checked.ts";
import { JOURNAL_START, type JournalPosition } from "./journal/claim.ts";
import { ByteReader, BytesDamaged, ByteWriter } from "./kernel/bytes.ts";
import {
  type Clock,
  JournalDamaged,
  JournalPurged,
  type SnapshotStore,
  SnapshotsUnavailable,
  SnapshotUnusable,
  type SnapshotWriter,
  type Timers,
} from "./ports.ts";
import type { Shard } from "./shard.ts";
import {
  isOfRestore,
  SnapshotDecoder,
  SnapshotEncoder,
  type SnapshotFoot,
  type SnapshotHead,
} from "./snapshot_format.ts";

/** Bytes of one slice: a third of a millisecond to write, a few to load. */
const SLICE_BYTES = 64 * 1024;
/** Pause between slices, milliseconds: at most a few per cent of the node's time. */
const SLICE_PAUSE_MS = 5;
/** Pause between slices that are read back, milliseconds: each is hashed, which takes a twentieth of one. */
const VERIFY_PAUSE_MS = 1;
/** Snapshots kept of a shard. */
export const SNAPSHOTS_KEPT = 2;
/** How long a store that is away is asked before the journal has to do, and the pause between, milliseconds. */
const STORE_AWAY_MS = 10_000;
const STORE_PAUSE_MS = 500;

/** No usable snapshot reaches the journal's first frame: the history before that is not here. */
export class SnapshotTooOld extends JournalPurged {
  override name = "SnapshotTooOld";
  /** `frame`: where the newest usable snapshot ends, 0 without one. */
  constructor(frame: number, firstSequence: number) {
    super(frame, firstSequence);
    const known = frame === 0 ? "there is no usable snapshot" : `snapshot ends at frame ${frame}`;
    const advice = "restore from backup or take a newer snapshot";
    this.message = `${known}, the journal begins at frame ${firstSequence}: ${advice}`;
  }
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
      const { frame, bytes } = await this.#write(shard);
      this.#o.onDone(shard, frame, bytes, (this.#o.clock.monotonicUs() - from) / 1e6);
      await this.#trim(shard.id);
    } catch (e) {
      this.#o.onFailed(shard, e as Error);
    } finally {
      this.#busy = false;
    }
  }

  async #write(shard: Shard): Promise<{ frame: number; bytes: number }> {
    const { store, layout } = this.#o;
    const frame = shard.nextFrame - 1;
    const head: SnapshotHead = {
      journal_id: shard.journal.id,
      shard: shard.id,
      layout,
      frame,
      frame_time_us: shard.frameTimeUs,
      epoch: shard.epoch,
      watermarks: shard.covered(),
      ...(shard.journal.restoreId ? { restore_id: shard.journal.restoreId } : {}),
    };
    const checksum = checksumOf(shard, frame);
    // Whoever awaits it is told; the content may fail before.
    checksum.catch(() => {});
    shard.actors.beginSnapshot();
    // An epoch has one owner: one that was replaced and ends its snapshot late writes under a name of its own.
    const name = `${String(frame).padStart(16, "0")}-${String(shard.epoch).padStart(8, "0")}`;
    let out: SnapshotWriter | null = null;
    try {
      out = await store.create(shard.id, name);
      const bytes = await this.#content(shard, out, head, checksum);
      await this.#verify(out, head, bytes);
      await out.publish();
      return { frame, bytes };
    } catch (e) {
      shard.actors.abandonSnapshot();
      await out?.discard().catch(() => {});
      throw e;
    }
  }

  async #trim(shard: number): Promise<void> {
    const { store } = this.#o;
    const names = await store.list(shard);
    if (names.length > SNAPSHOTS_KEPT) await store.removeBefore(shard, names[names.length - SNAPSHOTS_KEPT]);
  }

  async #content(shard: Shard, out: SnapshotWriter, head: SnapshotHead, checksum: Promise<string>): Promise<number> {
    const encoder = new SnapshotEncoder();
    await out.write(encoder.head(head));
    const w = new ByteWriter(SLICE_BYTES * 2);
    let size = 0;
    for (let done = false; !done; ) {
      encoder.beginSlice(w);
      const before = w.length;
      done = shard.actors.snapshotStep(w, SLICE_BYTES);
      size += w.length - before;
      if (encoder.endSlice(w)) await out.write(w.view());
      await this.#pause(SLICE_PAUSE_MS);
      if (!shard.serving) throw new Error(`shard ${shard.id} stopped during its snapshot`);
    }
    await out.write(encoder.foot({ checksum: await checksum, bytes: size }));
    return size;
  }

  /** Reads back what was written; throws SnapshotUnusable when it is not that. */
  async #verify(out: SnapshotWriter, head: SnapshotHead, size: number): Promise<void> {
    const decoder = new SnapshotDecoder(out.readBack());
    try {
      const there = await decoder.head();
      const isSame = there.journal_id === head.journal_id && there.shard === head.shard && there.frame === head.frame;
      while ((await decoder.slice()) !== null) await this.#pause(VERIFY_PAUSE_MS);
      if (!isSame || (await decoder.foot()).bytes !== size) throw new SnapshotUnusable("is another one");
    } catch (e) {
      if (e instanceof SnapshotUnusable) e.message = `what was written reads back otherwise: ${e.message}`;
      throw e;
    } finally {
      await decoder.close();
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise<void>((resolve) => this.#o.timers.after(ms, resolve));
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

export interface LoadOptions {
  readonly store: Pick<SnapshotStore, "list" | "read">;
  /** Puts an empty shard in the place of one that holds a part of a damaged snapshot. */
  readonly anew: () => Shard;
  readonly clock: Pick<Clock, "monotonicUs">;
  /** Told of each snapshot that is passed over, and of a store that cannot be reached, which has no name. */
  readonly onUnusable: (name: string | null, error: Error) => void;
  /** Awaited between slices of about a millisecond. */
  readonly pause: () => Promise<void> | void;
  /** Waits until the store is asked again; a rejection ends the loading. */
  readonly sleep: (ms: number) => Promise<void>;
}

export interface LoadedSnapshot {
  readonly shard: Shard;
  /** Where its journal is to be replayed from. */
  readonly from: JournalPosition;
}

/**
 * Loads the newest usable snapshot into the shard's empty actors. Without one, or when the store stays away and the
 * journal has all its frames: JOURNAL_START. Throws JournalDamaged for a snapshot of another journal.
 */
export async function loadSnapshot(empty: Shard, o: LoadOptions): Promise<LoadedSnapshot> {
  const passed = new Set<string>();
  const store = new StoreAway(empty, o);
  let shard = empty;
  for (;;) {
    let name: string | undefined;
    try {
      // Newer ones may have come, and older ones gone, while one was read.
      name = (await o.store.list(shard.id)).findLast((n) => !passed.has(n));
      if (name === undefined) return { shard, from: JOURNAL_START };
      return { shard, from: await load(shard, name, o) };
    } catch (e) {
      const isUnusable = e instanceof SnapshotUnusable && name !== undefined;
      if (!isUnusable && !(e instanceof SnapshotsUnavailable)) throw e;
      if (name !== undefined) shard = o.anew();
      if (isUnusable) {
        passed.add(name as string);
        o.onUnusable(name as string, e);
      } else if (await store.isGivenUp(e)) return { shard, from: JOURNAL_START };
      else await o.sleep(STORE_PAUSE_MS);
    }
  }
}

/** A store that cannot be reached. */
class StoreAway {
  readonly #shard: Shard;
  readonly #o: LoadOptions;
  #sinceUs: number | null = null;
  #isNeeded = false;

  constructor(shard: Shard, o: LoadOptions) {
    this.#shard = shard;
    this.#o = o;
  }

  /** Whether the journal has to do. One that was purged cannot: then only the store knows what came before. */
  async isGivenUp(error: SnapshotsUnavailable): Promise<boolean> {
    const { clock, onUnusable, sleep } = this.#o;
    if (this.#sinceUs === null) onUnusable(null, error);
    this.#sinceUs ??= clock.monotonicUs();
    if (this.#isNeeded || clock.monotonicUs() - this.#sinceUs < STORE_AWAY_MS * 1000) return false;
    const { firstSequence } = await untilReachable(sleep, () => this.#shard.journal.state());
    if (firstSequence <= 1) return true;
    this.#isNeeded = true;
    const why = `the journal begins at frame ${firstSequence}: the shard waits for its snapshots`;
    onUnusable(null, new SnapshotsUnavailable(`${error.message}; ${why}`));
    return false;
  }
}

async function load(shard: Shard, name: string, o: LoadOptions): Promise<JournalPosition> {
  const decoder = new SnapshotDecoder(o.store.read(shard.id, name));
  try {
    const header = await decoder.head();
    checkHead(header, shard);
    if (!shard.actors.beginLoad(header.layout)) throw new SnapshotUnusable(`of layout ${header.layout}, unknown here`);
    await loadSlices(shard, decoder, o.pause);
    const foot: SnapshotFoot = await decoder.foot();
    shard.watermarks.set(header.watermarks);
    return {
      sequence: header.frame,
      checksum: Buffer.from(foot.checksum, "hex"),
      epoch: header.epoch,
      frameTimeUs: header.frame_time_us,
    };
  } finally {
    await decoder.close();
  }
}

function checkHead(header: SnapshotHead, shard: Shard): void {
  if (header.shard !== shard.id) throw new SnapshotUnusable(`of shard ${header.shard}`);
  if (header.watermarks.length !== shard.watermarks.length) throw new SnapshotUnusable("of another number of shards");
  if (header.journal_id !== shard.journal.id) {
    // Going on would begin an empty history where there was one.
    const advice = "restore the journal, or remove the snapshots to begin anew";
    throw new JournalDamaged(`there is a snapshot of another journal, ${header.journal_id}: ${advice}`, header.frame);
  }
  // Frames that it knows came again, as others. The journals themselves are what they should be.
  if (!isOfRestore(header, shard.journal)) throw new SnapshotUnusable("of the journals before a restore");
}

async function loadSlices(shard: Shard, decoder: SnapshotDecoder, pause: () => Promise<void> | void): Promise<void> {
  let isWhole = false;
  for (let slice = await decoder.slice(); slice !== null; slice = await decoder.slice()) {
    if (isWhole) throw new SnapshotUnusable("goes on behind its last part");
    try {
      const r = new ByteReader(slice);
      isWhole = shard.actors.loadPart(r);
      if (r.left > 0) throw new BytesDamaged("bytes are left over", r.offset);
    } catch (e) {
      if (e instanceof BytesDamaged) throw new SnapshotUnusable(`content: ${e.message}`);
      throw e;
    }
    await pause();
  }
  if (!isWhole) throw new SnapshotUnusable("content ends early");
}
