/**
 * Owns the Admin service in gRPC: lets operators in by their keys and nobody else, hands their calls to the node's
 * operations, and writes one line of audit for each, whatever came of it.
 */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Server, type ServerUnaryCall, type StatusObject, type sendUnaryData, status } from "@grpc/grpc-js";
import { Admin } from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import type { Identity } from "../identity/identity.ts";
import { AuthenticationFailure } from "../identity/identity_error.ts";
import type { Operators } from "../identity/operators.ts";
import type { Logger } from "../log.ts";
import { OperationRefused, type Operations, WEIGHT_MAX } from "./operations.ts";

/** Largest request, bytes: all of them are small. */
const REQUEST_BYTES_MAX = 4096;

export interface AdminOptions {
  readonly operators: Operators;
  readonly operations: Operations;
}

export interface AdminParts extends AdminOptions {
  /** To tell a tenant's key, which is refused, from one that nobody knows. */
  readonly identity: Identity;
  readonly log: Logger;
}

type AdminCall = ServerUnaryCall<Buffer, Buffer>;
type AdminHandler = (call: AdminCall, callback: sendUnaryData<Buffer>) => void;

/** The call ends with this status. */
class Refused extends Error {
  override name = "Refused";
  readonly code: status;
  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

export function addAdmin(server: Server, parts: AdminParts): void {
  const { operations } = parts;
  const { method } = Admin;
  const same = (bytes: Buffer): Buffer => bytes;
  const raw = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
  const definition = Object.fromEntries(
    Admin.methods.map(({ name }) => {
      const path = `/${Admin.typeName}/${name}`;
      return [name, { path, requestStream: false, responseStream: false, ...raw }];
    }),
  );
  server.addService(definition, {
    GetStatus: handler(parts, method.getStatus, () => operations.status()),
    Drain: handler(parts, method.drain, () => operations.drain()),
    Undrain: handler(parts, method.undrain, () => operations.undrain()),
    SetWeight: handler(parts, method.setWeight, ({ weight }) => {
      if (!(weight >= 0 && weight <= WEIGHT_MAX)) {
        throw new Refused(status.INVALID_ARGUMENT, `weight must be 0..${WEIGHT_MAX}`);
      }
      return operations.setWeight(weight);
    }),
    Rebalance: handler(parts, method.rebalance, () => operations.rebalance()),
  });
}

function handler<I extends DescMessage, O extends DescMessage>(
  parts: AdminParts,
  method: DescMethodUnary<I, O>,
  run: (request: MessageShape<I>) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
): AdminHandler {
  return async (call, callback) => {
    const audit: Audit = { method: method.name, peer: call.getPeer(), operator: "" };
    try {
      audit.operator = operatorOf(parts, call.metadata.get("authorization")[0] as string | undefined);
      const request = decode(method.input, call.request);
      audit.request = request;
      const { node } = request as unknown as { readonly node: string };
      const own = parts.operations.node;
      if (node !== "" && node !== own) throw new Refused(status.NOT_FOUND, `this is node ${own}, not ${node}`);
      const answer = create(method.output, await run(request));
      note(parts.log, audit, "OK", "");
      callback(null, Buffer.from(toBinary(method.output, answer)));
    } catch (error) {
      const { code, details } = refusalOf(error as Error);
      note(parts.log, audit, status[code], details);
      if (code === status.INTERNAL) parts.log.error({ err: error }, "admin call failed");
      callback({ code, details });
    }
  };
}

function operatorOf({ operators, identity }: AdminParts, header: string | undefined): string {
  const operator = operators.authenticate(header);
  if (!(operator instanceof AuthenticationFailure)) return operator;
  if (operator.reason === "unknown" && !(identity.authenticate(header) instanceof AuthenticationFailure)) {
    throw new Refused(status.PERMISSION_DENIED, "this is a tenant's key: operations need an operator's");
  }
  throw new Refused(status.UNAUTHENTICATED, operator.message);
}

function decode<I extends DescMessage>(schema: I, bytes: Buffer): MessageShape<I> {
  if (bytes.length > REQUEST_BYTES_MAX) throw new Refused(status.INVALID_ARGUMENT, "the request is too large");
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch {
    throw new Refused(status.INVALID_ARGUMENT, `not a ${schema.typeName}`);
  }
}

function refusalOf(error: Error): Pick<StatusObject, "code" | "details"> {
  if (error instanceof Refused) return { code: error.code, details: error.message };
  if (error instanceof OperationRefused) return { code: status.FAILED_PRECONDITION, details: error.message };
  return { code: status.INTERNAL, details: "the call failed; the node's log says why" };
}

interface Audit {
  readonly method: string;
  readonly peer: string;
  /** Empty until the caller is known. */
  operator: string;
  request?: unknown;
}

function note(log: Logger, { method, peer, operator, request }: Audit, outcome: string, message: string): void {
  const { $typeName: _, ...asked } = (request ?? {}) as Record<string, unknown>;
  const line = { audit: true, operator, method, request: asked, peer, outcome, message };
  if (outcome === "OK") log.info(line, "admin call");
  else log.warn(line, "admin call");
}
