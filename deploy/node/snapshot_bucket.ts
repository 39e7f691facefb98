/**
 * Snapshots in a bucket of an S3-compatible object store, which all nodes share. A snapshot is a row of objects of a
 * few MiB and a small one that names their number: writing that one, behind the others, publishes it. So nothing is
 * left half uploaded, each request is short and can be made again, and no part of the API beyond put, get, list and
 * delete is used.
 */
import { setTimeout as delay } from "node:timers/promises";
import { S3mini, S3ServiceError } from "s3mini";
import {
  type SnapshotStore,
  SnapshotsUnavailable,
  SnapshotUnusable,
  type SnapshotWriter,
} from "../../runtime/ports.ts";

const SUFFIX = ".snapshot";
/** Bytes of one object. */
const PART_BYTES = 8 << 20;
/** How long a request may take that carries a part, and any other: whoever lists waits for it. */
const PART_MS = 30_000;
const REQUEST_MS = 5_000;
/** A request that failed by the network or the server is made again so often, after so long and twice as long. */
const TRIES = 4;
const PAUSE_MS = 250;
/** One that was not answered in its time, so often in all. */
const TIMEOUTS = 2;

export interface BucketOptions {
  /** URL of the store with the bucket in its path, or its own host. */
  readonly endpoint: string;
  /** Put in front of every key: empty, or ending in "/". */
  readonly prefix: string;
  readonly region: string;
  readonly access_key_id: string;
  readonly secret_access_key: string;
  /** Default 8 MiB. */
  readonly part_bytes?: number;
  /** Default REQUEST_MS. */
  readonly request_ms?: number;
}

export class SnapshotBucket implements SnapshotStore {
  readonly #s3: S3mini;
  readonly #s3ForParts: S3mini;
  readonly #prefix: string;
  readonly #partBytes: number;

  constructor(o: BucketOptions) {
    this.#prefix = o.prefix;
    this.#partBytes = o.part_bytes ?? PART_BYTES;
    const keys = { accessKeyId: o.access_key_id, secretAccessKey: o.secret_access_key };
    const server = { endpoint: o.endpoint, region: o.region, ...keys };
    this.#s3 = new S3mini({ ...server, requestAbortTimeout: o.request_ms ?? REQUEST_MS });
    this.#s3ForParts = new S3mini({ ...server, requestAbortTimeout: PART_MS });
  }

  async list(shard: number): Promise<readonly string[]> {
    const objects = await this.#objects(shard);
    return objects.filter((o) => o.endsWith(SUFFIX)).map((o) => o.slice(0, -SUFFIX.length));
  }

  async create(shard: number, name: string): Promise<SnapshotWriter> {
    const mark = this.#key(shard, name + SUFFIX);
    const put = (part: number, bytes: Uint8Array): Promise<void> =>
      putObject(this.#s3ForParts, this.#partKey(shard, name, part), bytes);
    const upload = new Upload(put, this.#partBytes);
    const readParts = (parts: number): AsyncIterable<Uint8Array> => this.#parts(shard, name, parts);
    // One of the same name is not listed while its parts are written over.
    await this.#delete(mark);
    return {
      write: (bytes) => upload.write(bytes),
      async *readBack() {
        yield* readParts(await upload.end());
      },
      publish: () => putObject(this.#s3, mark, Buffer.from(JSON.stringify(upload.facts))),
      discard: async () => {
        // A mark that was stored may not have been answered for. While it stands, so must what it names.
        await this.#delete(mark);
        for (let part = 1; part <= upload.facts.parts; part++) await this.#delete(this.#partKey(shard, name, part));
      },
    };
  }

  async *read(shard: number, name: string): AsyncIterable<Uint8Array> {
    const facts = (await getObject(this.#s3, this.#key(shard, name + SUFFIX))).toString();
    const parts = /^\{"parts":(\d{1,7})\}$/.exec(facts)?.[1];
    if (parts === undefined) throw new SnapshotUnusable(`${name} does not name its parts`);
    yield* this.#parts(shard, name, Number(parts));
  }

  async removeBefore(shard: number, name: string): Promise<void> {
    // A name sorts before its own objects, and those of older ones before both.
    const old = (await this.#objects(shard)).filter((o) => o < name);
    const isMark = (o: string): boolean => o.endsWith(SUFFIX);
    for (const o of [...old.filter(isMark), ...old.filter((x) => !isMark(x))]) await this.#delete(this.#key(shard, o));
  }

  async *#parts(shard: number, name: string, parts: number): AsyncIterable<Uint8Array> {
    for (let part = 1; part <= parts; part++) yield await getObject(this.#s3ForParts, this.#partKey(shard, name, part));
  }

  #key(shard: number, object: string): string {
    return `${this.#prefix}shard-${shard}/${object}`;
  }

  #partKey(shard: number, name: string, part: number): string {
    return this.#key(shard, `${name}.part-${String(part).padStart(7, "0")}`);
  }

  /** Names of all objects of the shard, oldest snapshot first. */
  async #objects(shard: number): Promise<readonly string[]> {
    const folder = this.#key(shard, "");
    const found = await reached(() => this.#s3.listObjects("/", folder));
    if (found === null) throw new SnapshotsUnavailable(`the bucket ${this.#s3.bucketName} is not there`);
    return found.map((o) => o.Key.slice(folder.length)).sort();
  }

  async #delete(key: string): Promise<void> {
    await reached(() => this.#s3.deleteObject(key));
  }
}

/** Cuts what is written into parts. */
class Upload {
  readonly #put: (part: number, bytes: Uint8Array) => Promise<void>;
  readonly #partBytes: number;
  #buffer: Buffer;
  #length = 0;
  #parts = 0;

  constructor(put: (part: number, bytes: Uint8Array) => Promise<void>, partBytes: number) {
    this.#put = put;
    this.#partBytes = partBytes;
    this.#buffer = Buffer.allocUnsafe(partBytes);
  }

  get facts(): { readonly parts: number } {
    return { parts: this.#parts };
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const n = Math.min(bytes.length - at, this.#partBytes - this.#length);
      this.#buffer.set(bytes.subarray(at, at + n), this.#length);
      this.#length += n;
      at += n;
      if (this.#length === this.#partBytes) await this.#flush();
    }
  }

  /** Resolves with the number of parts. */
  async end(): Promise<number> {
    if (this.#length > 0) await this.#flush();
    return this.#parts;
  }

  async #flush(): Promise<void> {
    // Counted before it is there, so that discard() finds one that came to be and was not acknowledged.
    const part = ++this.#parts;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    await this.#put(part, bytes);
  }
}

async function putObject(s3: S3mini, key: string, bytes: Uint8Array): Promise<void> {
  await reached(async () => (await s3.putObject(key, bytes)).arrayBuffer());
}

async function getObject(s3: S3mini, key: string): Promise<Buffer> {
  const bytes = await reached(() => s3.getObjectArrayBuffer(key));
  if (bytes === null) throw new SnapshotUnusable(`${key} is gone`);
  return Buffer.from(bytes);
}

/** Makes a request, again when that may help. Throws SnapshotsUnavailable. */
async function reached<T>(request: () => Promise<T>): Promise<T> {
  for (let tries = 1, timeouts = 0; ; tries++) {
    try {
      return await request();
    } catch (e) {
      const isRefused = e instanceof S3ServiceError && e.status < 500 && e.status !== 429;
      // Node's fetch gives AbortSignal.timeout()'s reason.
      if ((e as Error).name === "TimeoutError") timeouts++;
      if (isRefused || tries === TRIES || timeouts === TIMEOUTS) throw new SnapshotsUnavailable(wordsOf(e as Error));
      await delay(PAUSE_MS * 2 ** tries);
    }
  }
}

function wordsOf(e: Error): string {
  const cause = e.cause instanceof Error ? ` (${e.cause.message})` : "";
  return `the object store: ${e.message}${cause}`;
}
