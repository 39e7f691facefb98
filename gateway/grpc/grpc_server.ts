/**
 * Owns the gRPC server: its methods, health, reflection, TLS, limits, and a shutdown that answers what was taken
 * before it closes.
 */
import { once } from "node:events";
import { Server, ServerCredentials, type ServerOptions, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { Admin } from "../../proto/gen/fraudguard/v1/admin_pb.ts";
import { FraudDetection } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import { type CallKind, KIND_ANALYZE, KIND_BULK, KIND_EVENT, KIND_OUTCOME, KIND_RISK_SCORE } from "../calls/kinds.ts";
import { type AdminParts, addAdmin } from "../control/admin_service.ts";
import type { Identity } from "../identity/identity.ts";
import type { GatewayMetrics } from "../metrics/gateway_metrics.ts";
import type { TlsMaterial } from "../tls.ts";
import { PaymentStreams, type StreamCall } from "./payment_stream.ts";
import { RAW_SERVICE } from "./raw_service.ts";
import { widenReadWindows } from "./read_windows.ts";
import { addReflection } from "./reflection.ts";
import { unaryHandler } from "./unary.ts";

export interface GrpcServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly desk: CallDesk;
  readonly identity: Identity;
  readonly metrics: GatewayMetrics;
  readonly tls?: TlsMaterial;
  /** Null: no operator is served. */
  readonly admin: AdminParts | null;
  /** False: payments and what becomes known of them are not taken. */
  readonly payments: boolean;
}

export interface GrpcServer {
  readonly port: number;
  /** Health of the service as clients see it. */
  serving(yes: boolean): void;
  /** Stops reading streams; what was taken is still answered. */
  drain(): void;
  /** Ends after at most `wait_ms`, then breaks what is left. */
  close(wait_ms: number): Promise<void>;
}

/** Largest message, bytes: 1,000 payments with long fields. */
export const MESSAGE_BYTES_MAX = 8 << 20;
const SETTINGS: ServerOptions = {
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_concurrent_streams": 1000,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
};

export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = new Server(SETTINGS);
  const narrow = widenReadWindows();
  const streams = options.payments ? addPayments(server, options) : null;
  if (options.admin !== null) addAdmin(server, options.admin);
  const healthy = options.payments ? ["", FraudDetection.typeName] : [""];
  const health = new HealthImplementation(Object.fromEntries(healthy.map((name) => [name, "NOT_SERVING"])));
  health.addToServer(server);
  const services = [...(options.payments ? [FraudDetection] : []), ...(options.admin === null ? [] : [Admin]), Health];
  addReflection(server, services);
  const port = await bind(server, `${options.host}:${options.port}`, credentialsOf(options.tls)).catch((error) => {
    narrow();
    throw error;
  });
  const serving = (yes: boolean) => {
    for (const name of healthy) health.setStatus(name, yes ? "SERVING" : "NOT_SERVING");
  };
  return {
    port,
    serving,
    drain() {
      serving(false);
      streams?.drain();
    },
    close: (wait_ms) => close(server, wait_ms).finally(narrow),
  };
}

function addPayments(server: Server, { desk, identity, metrics }: GrpcServerOptions): PaymentStreams {
  const streams = new PaymentStreams(desk, identity, metrics.endpoint("GRPC", "AnalyzeStream"));
  const unary = (name: string, kind: CallKind) => unaryHandler(desk, identity, kind, metrics.endpoint("GRPC", name));
  server.addService(RAW_SERVICE, {
    Analyze: unary("Analyze", KIND_ANALYZE),
    AnalyzeStream: (call: StreamCall) => streams.accept(call),
    BulkAnalyze: unary("BulkAnalyze", KIND_BULK),
    GetRiskScore: unary("GetRiskScore", KIND_RISK_SCORE),
    ReportOutcome: unary("ReportOutcome", KIND_OUTCOME),
    RecordEvent: unary("RecordEvent", KIND_EVENT),
  } as UntypedServiceImplementation);
  return streams;
}

function credentialsOf(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.cert };
  return ServerCredentials.createSsl(tls.client_ca, [pair], tls.client_ca !== null);
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

async function close(server: Server, wait_ms: number): Promise<void> {
  const stopped = new AbortController();
  const done = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  const late = once(AbortSignal.any([stopped.signal, AbortSignal.timeout(wait_ms)]), "abort");
  await Promise.race([done, late]);
  stopped.abort();
  server.forceShutdown();
}
