/**
 * How fast the journal server makes appends durable: measured at start on a scratch stream. All nodes share it, and it
 * empties itself, because nodes may not remove streams.
 */
import { DiscardPolicy, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { JournalUnavailable } from "../ports.ts";
import type { NatsLink } from "./connection.ts";
import { NoAnswer, RequestChannel } from "./request_channel.ts";

export interface FsyncProbeOptions {
  /** How long to append; default 500. */
  readonly duration_ms?: number;
  /** Default 128. */
  readonly message_bytes?: number;
  readonly num_replicas?: number;
}

const IN_FLIGHT = 2;
const SCRATCH_STREAM = "FG_PROBE";
const SCRATCH_SUBJECT = "fg.probe";
const SCRATCH_AGE_MS = 10_000;
const SCRATCH_BYTES_MAX = 64 << 20;
const STREAM_NAME_IN_USE = 10058;
/** A stream that was just made, or lost a server, has no leader yet. */
const ELECTION_MS = 15_000;
const AGAIN_MS = 50;

/** Acknowledged appends per second of small messages, two in flight, as the committer has them. */
export async function measureFsyncRate(link: NatsLink, options: FsyncProbeOptions = {}): Promise<number> {
  const channel = new RequestChannel(link, 3000);
  try {
    await makeScratch(link, options.num_replicas ?? 1);
    return await appendFor(channel, SCRATCH_SUBJECT, options);
  } catch (error) {
    throw new JournalUnavailable(`fsync probe: ${(error as Error).message}`);
  } finally {
    channel.close();
  }
}

async function makeScratch(link: NatsLink, num_replicas: number): Promise<void> {
  const manager = await jetstreamManager(link.client, { checkAPI: false });
  try {
    await manager.streams.add({
      name: SCRATCH_STREAM,
      subjects: [SCRATCH_SUBJECT],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      num_replicas,
      max_age: nanos(SCRATCH_AGE_MS),
      max_bytes: SCRATCH_BYTES_MAX,
    });
  } catch (error) {
    // It is there, perhaps with other limits.
    if ((error as { code?: unknown }).code !== STREAM_NAME_IN_USE) throw error;
  }
}

async function appendFor(channel: RequestChannel, subject: string, options: FsyncProbeOptions): Promise<number> {
  const message = new Uint8Array(options.message_bytes ?? 128);
  await untilAppended(channel, subject, message);
  const begin = performance.now();
  const end = begin + (options.duration_ms ?? 500);
  let appended = 0;
  const lane = async (): Promise<void> => {
    do {
      const reply = await channel.request(subject, message);
      if (reply instanceof NoAnswer) throw reply;
      appended++;
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return appended / ((performance.now() - begin) / 1000);
}

async function untilAppended(channel: RequestChannel, subject: string, message: Uint8Array): Promise<void> {
  const deadline = performance.now() + ELECTION_MS;
  for (;;) {
    const reply = await channel.request(subject, message);
    if (!(reply instanceof NoAnswer)) return;
    if (performance.now() > deadline) throw reply;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
