/**
 * The cheapest honest client of a bidirectional gRPC stream: HTTP/2 from Node, messages that carry their five-byte
 * prefix already, answers handed over as ranges of the chunks that they came in.
 */

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectTcp } from "node:net";

/** Room for answers on their way: the client must never be what slows the server. */
const WINDOW_BYTES = 16 << 20;
const MESSAGE_BYTES_MAX = 4 << 20;
const PREFIX_BYTES = 5;

/** Called with each whole message, without its prefix: valid during the call only. */
export type OnMessage = (bytes: Buffer, start: number, end: number) => void;

/** One HTTP/2 connection, as one gRPC channel. */
export class GrpcChannel {
  readonly #session: ClientHttp2Session;
  readonly #authority: string;

  private constructor(session: ClientHttp2Session, authority: string) {
    this.#session = session;
    this.#authority = authority;
  }

  /** Connects to host:port without TLS. */
  static connect(address: string): Promise<GrpcChannel> {
    return new Promise((resolve, reject) => {
      const settings = { initialWindowSize: WINDOW_BYTES, enablePush: false };
      const [host, port] = splitAddress(address);
      const createConnection = () => connectTcp({ host, port, noDelay: true });
      const session = connect(`http://${address}`, { settings, createConnection });
      session.once("error", reject);
      session.once("connect", () => {
        session.off("error", reject);
        session.setLocalWindowSize(WINDOW_BYTES);
        resolve(new GrpcChannel(session, address));
      });
    });
  }

  /** Opens a stream of `path`. `onEnd` is called once, with what the server said or what broke. */
  open(path: string, api_key: string, onMessage: OnMessage, onEnd: (why: string) => void): GrpcStream {
    const call = this.#session.request(
      {
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: path,
        [constants.HTTP2_HEADER_SCHEME]: "http",
        [constants.HTTP2_HEADER_AUTHORITY]: this.#authority,
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${api_key}`,
      },
      { endStream: false },
    );
    return new GrpcStream(call, onMessage, onEnd);
  }

  /** Called when the connection ends. */
  onClose(run: (why: string) => void): void {
    let why = "closed";
    this.#session.on("error", (error: Error) => {
      why = error.message;
    });
    this.#session.on("close", () => run(why));
  }

  close(): void {
    this.#session.destroy();
  }
}

export class GrpcStream {
  readonly #call: ClientHttp2Stream;
  readonly #onMessage: OnMessage;
  /** The beginning of a message whose end has not come. */
  #rest: Buffer | null = null;
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(call: ClientHttp2Stream, onMessage: OnMessage, onEnd: (why: string) => void) {
    this.#call = call;
    this.#onMessage = onMessage;
    let why = "ended";
    const status = (headers: Record<string, unknown>): void => {
      const code = headers["grpc-status"];
      if (code !== undefined && code !== "0") why = `grpc-status ${code} ${headers["grpc-message"] ?? ""}`;
    };
    call.on("response", status);
    call.on("trailers", status);
    call.on("data", (chunk: Buffer) => this.#take(chunk));
    call.on("error", (error: Error) => {
      why = error.message;
    });
    call.on("close", () => onEnd(why));
  }

  /** `bytes` (with its prefix) must not change until `sent` is called. */
  write(bytes: Buffer, sent: () => void): void {
    this.#call.write(bytes, sent);
  }

  end(): void {
    this.#call.end();
  }

  #take(chunk: Buffer): void {
    let b = chunk;
    if (this.#rest !== null) {
      // Chunks of an unfinished message are joined once, when it is whole.
      this.#parts.push(chunk);
      this.#partBytes += chunk.length;
      const have = this.#rest.length + this.#partBytes;
      if (this.#rest.length >= PREFIX_BYTES && have < PREFIX_BYTES + lengthAt(this.#rest, 0)) return;
      b = Buffer.concat([this.#rest, ...this.#parts]);
      this.#rest = null;
      this.#parts = [];
      this.#partBytes = 0;
    }
    let at = 0;
    while (b.length - at >= PREFIX_BYTES) {
      const end = at + PREFIX_BYTES + lengthAt(b, at);
      if (end > b.length) break;
      this.#onMessage(b, at + PREFIX_BYTES, end);
      at = end;
    }
    if (at < b.length) this.#rest = b.subarray(at);
  }
}

function splitAddress(address: string): [string, number] {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}

function lengthAt(b: Buffer, at: number): number {
  if (b[at] !== 0) throw new Error("a compressed message, which was not asked for");
  const length = b.readUInt32BE(at + 1);
  if (length > MESSAGE_BYTES_MAX) throw new Error(`a message of ${length} bytes`);
  return length;
}
