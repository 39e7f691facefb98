/** How fast the journal server makes appends durable: measured at start on a scratch stream, which is removed again. */
import { type JetStreamManager, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { nuid } from "@nats-io/nats-core";
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
const SCRATCH_PREFIX = "FG_PROBE_";

/** Acknowledged appends per second of small messages, two in flight, as the committer has them. */
export async function measureFsyncRate(link: NatsLink, options: FsyncProbeOptions = {}): Promise<number> {
  const stream = `${SCRATCH_PREFIX}${nuid.next()}`;
  const channel = new RequestChannel(link, 3000);
  let manager: JetStreamManager | null = null;
  try {
    manager = await jetstreamManager(link.client, { checkAPI: false });
    await manager.streams.add({
      name: stream,
      subjects: [`fg.probe.${stream}`],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      num_replicas: options.num_replicas ?? 1,
      max_bytes: 64 * 1024 * 1024,
    });
    return await appendFor(channel, `fg.probe.${stream}`, options);
  } catch (error) {
    throw new JournalUnavailable(`fsync probe: ${(error as Error).message}`);
  } finally {
    channel.close();
    // A scratch stream left behind is at most 64 MB; failing to remove it must not hide the rate or the error.
    await manager?.streams.delete(stream).catch(() => false);
  }
}

async function appendFor(channel: RequestChannel, subject: string, options: FsyncProbeOptions): Promise<number> {
  const message = new Uint8Array(options.message_bytes ?? 128);
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
