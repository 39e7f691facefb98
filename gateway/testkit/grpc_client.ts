/** A real grpc-js client for the tests: raw bytes on the wire, generated messages at the ends. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  type Error as ApiError,
  ErrorSchema,
  FraudDetection,
} from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";

const raw = (bytes: Uint8Array) => Buffer.from(bytes);
const same = (bytes: Buffer) => bytes;

type Method = "analyze" | "bulkAnalyze" | "getRiskScore" | "reportOutcome" | "recordEvent";

export class TestClient {
  readonly client: Client;
  readonly #metadata = new Metadata();

  constructor(port: number, key: string | null, channel: ChannelCredentials = credentials.createInsecure()) {
    this.client = new Client(`127.0.0.1:${port}`, channel, { "grpc.ssl_target_name_override": "localhost" });
    if (key !== null) this.#metadata.set("authorization", `Bearer ${key}`);
  }

  call<M extends Method>(
    method: M,
    request: MessageInitShape<(typeof FraudDetection.method)[M]["input"]>,
    options: CallOptions = {},
  ): Promise<MessageShape<(typeof FraudDetection.method)[M]["output"]>> {
    const desc = FraudDetection.method[method];
    const bytes = toBinary(desc.input as DescMessage, create(desc.input as DescMessage, request as never));
    return this.callRaw(desc.name, bytes, options).then(
      (b) => fromBinary(desc.output as DescMessage, b) as MessageShape<(typeof FraudDetection.method)[M]["output"]>,
    );
  }

  callRaw(name: string, bytes: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    const path = `/${FraudDetection.typeName}/${name}`;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(path, raw, same, Buffer.from(bytes), this.#metadata, options, (error, response) => {
        if (error !== null) reject(error);
        else resolve(response as Buffer);
      });
    });
  }

  stream(): ClientDuplexStream<Uint8Array, Buffer> {
    return this.client.makeBidiStreamRequest(`/${FraudDetection.typeName}/AnalyzeStream`, raw, same, this.#metadata);
  }

  close(): void {
    this.client.close();
  }
}

/** The Error message in the trailer of a failed call. */
export function errorOf(error: unknown): ApiError {
  const [bytes] = (error as ServiceError).metadata.get("fraudguard-error-bin");
  return fromBinary(ErrorSchema, bytes as Buffer);
}
