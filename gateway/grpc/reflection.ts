/**
 * Owns gRPC server reflection (v1) over the generated descriptors, so that grpcurl lists and calls the service without
 * proto files. It answers by file name or symbol with the file and everything that file imports.
 */
import {
  create,
  type DescEnum,
  type DescFile,
  type DescMessage,
  type DescService,
  fromBinary,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type Server, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";

type Asked = ServerReflectionRequest["messageRequest"];
type Answered = ServerReflectionResponse["messageResponse"];

const METHOD = "ServerReflectionInfo";

/** Adds the reflection service for the given services, itself included. */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const index = new DescriptorIndex([...services, ServerReflection]);
  const definition: ServiceDefinition = {
    [METHOD]: {
      path: `/${ServerReflection.typeName}/${METHOD}`,
      requestStream: true,
      responseStream: true,
      requestSerialize: (m: ServerReflectionRequest) => Buffer.from(toBinary(ServerReflectionRequestSchema, m)),
      requestDeserialize: (b: Buffer) => fromBinary(ServerReflectionRequestSchema, b),
      responseSerialize: (m: ServerReflectionResponse) => Buffer.from(toBinary(ServerReflectionResponseSchema, m)),
      responseDeserialize: (b: Buffer) => fromBinary(ServerReflectionResponseSchema, b),
    },
  };
  server.addService(definition, {
    [METHOD]: (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) => {
      call.on("data", (request: ServerReflectionRequest) => {
        call.write(
          create(ServerReflectionResponseSchema, {
            validHost: request.host,
            originalRequest: request,
            messageResponse: index.answer(request.messageRequest),
          }),
        );
      });
      call.on("end", () => call.end());
    },
  });
}

/** Files and symbols reachable from some services. */
class DescriptorIndex {
  readonly #services: readonly DescService[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services;
    for (const s of services) this.#addFile(s.file);
  }

  answer(asked: Asked): Answered {
    if (asked.case === "listServices") {
      const service = this.#services.map((s) => ({ name: s.typeName }));
      return { case: "listServicesResponse", value: { service } as never };
    }
    const file = this.#find(asked);
    if (file === undefined) {
      const value = { errorCode: status.NOT_FOUND, errorMessage: `not found: ${String(asked.value ?? asked.case)}` };
      return { case: "errorResponse", value: value as never };
    }
    const bytes = withImports(file).map((f) => toBinary(FileDescriptorProtoSchema, f.proto));
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto: bytes } as never };
  }

  #find(asked: Asked): DescFile | undefined {
    if (asked.case === "fileByFilename") return this.#files.get(asked.value.replace(/\.proto$/, ""));
    if (asked.case === "fileContainingSymbol") return this.#symbols.get(asked.value);
    return undefined;
  }

  #addFile(file: DescFile): void {
    if (this.#files.has(file.name)) return;
    this.#files.set(file.name, file);
    for (const f of file.dependencies) this.#addFile(f);
    for (const m of file.messages) this.#addMessage(m);
    for (const e of file.enums) this.#addEnum(e);
    for (const s of file.services) {
      this.#symbols.set(s.typeName, file);
      for (const m of s.methods) this.#symbols.set(`${s.typeName}.${m.name}`, file);
    }
  }

  #addMessage(message: DescMessage): void {
    this.#symbols.set(message.typeName, message.file);
    for (const f of message.fields) this.#symbols.set(`${message.typeName}.${f.name}`, message.file);
    for (const m of message.nestedMessages) this.#addMessage(m);
    for (const e of message.nestedEnums) this.#addEnum(e);
  }

  #addEnum(desc: DescEnum): void {
    this.#symbols.set(desc.typeName, desc.file);
  }
}

function withImports(file: DescFile): DescFile[] {
  const seen = new Set<DescFile>();
  const add = (f: DescFile) => {
    if (seen.has(f)) return;
    seen.add(f);
    f.dependencies.forEach(add);
  };
  add(file);
  return [...seen];
}
