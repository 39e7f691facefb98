/** A client of the Admin service for our own commands: one call, one answer, within a few seconds. */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import grpc from "@grpc/grpc-js";
import { Admin } from "../../proto/gen/fraudguard/v1/admin_pb.ts";

const CALL_MS = 5000;

/** The call was not answered with its response. `isUnreachable`: the node cannot be talked to now. */
export class AdminCallFailed extends Error {
  override name = "AdminCallFailed";
  readonly isUnreachable: boolean;
  constructor(code: grpc.status, details: string) {
    // The client library ends some texts with a note that it has nothing to say in.
    super(`${grpc.status[code]}: ${details.replace(/\s*Resolution note:\s*$/, "")}`);
    this.isUnreachable = code === grpc.status.UNAVAILABLE || code === grpc.status.DEADLINE_EXCEEDED;
  }
}

export class AdminClient {
  readonly #client: grpc.Client;
  readonly #metadata = new grpc.Metadata();

  /** `address` is host:port; the operator's key goes into `authorization: Bearer`. */
  constructor(address: string, key: string) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
    });
    this.#metadata.set("authorization", `Bearer ${key}`);
  }

  /** Rejects with AdminCallFailed. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
    const path = `/${Admin.typeName}/${method.name}`;
    const same = (b: Buffer): Buffer => b;
    const deadline = new Date(Date.now() + CALL_MS);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, same, same, bytes, this.#metadata, { deadline }, (error, answer) => {
        if (error !== null) reject(new AdminCallFailed(error.code, error.details));
        else resolve(fromBinary(method.output, answer as Buffer));
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}
