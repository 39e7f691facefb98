/**
 * Composes a gateway: one call desk behind a gRPC server, a REST server and, when given, the public NATS streams. It
 * owns the order of a shutdown: refuse new calls, answer what was taken, then close.
 */
import type { Registry } from "prom-client";
import type { Clock, Intake, Timers } from "../runtime/ports.ts";
import { CallDesk } from "./calls/call_desk.ts";
import type { DecisionTexts } from "./codec/reason_texts.ts";
import type { AdminOptions } from "./control/admin_service.ts";
import { type GrpcServer, startGrpcServer } from "./grpc/grpc_server.ts";
import type { Identity } from "./identity/identity.ts";
import type { Logger } from "./log.ts";
import { createGatewayMetrics } from "./metrics/gateway_metrics.ts";
import type { RuntimeStats } from "./metrics/runtime_stats.ts";
import { openTracing, type TracingOptions } from "./metrics/tracing.ts";
import { PaymentConsumer } from "./nats/payment_consumer.ts";
import type { PublicStreams } from "./nats/ports.ts";
import type { DecisionReader, Readiness } from "./ports.ts";
import { type RestServer, startRestServer } from "./rest/rest_server.ts";
import { readTls, type TlsOptions } from "./tls.ts";

export interface GatewayOptions {
  readonly intake: Intake;
  readonly decisions: DecisionReader;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly identity: Identity;
  /** Texts of reasons and versions for the encoder. */
  readonly texts: DecisionTexts;
  readonly stats: RuntimeStats;
  readonly readiness: () => Readiness;
  readonly log: Logger;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly grpc_port: number;
  readonly rest_port: number;
  readonly tls?: TlsOptions;
  /** What operators may do and who they are; without it there is no Admin service. */
  readonly admin?: AdminOptions;
  /** False: takes no payments; health, metrics and operations are served. Default true. */
  readonly payments?: boolean;
  /** Public NATS streams; without them nothing is consumed from NATS. */
  readonly streams?: PublicStreams;
  readonly tracing?: TracingOptions;
  /** Version shown in the OpenAPI document. */
  readonly version?: string;
  /** How long a shutdown waits for answers, milliseconds; default 5000. */
  readonly drain_ms?: number;
  /** Adds the caller's own metrics to the registry behind /metrics. */
  readonly more_metrics?: (registry: Registry) => void;
  /** Adds Node's own process metrics; default true. */
  readonly process_metrics?: boolean;
}

export interface Gateway {
  readonly grpcPort: number;
  readonly restPort: number;
  /** What gRPC health answers; call with true when the node decides payments. Starts as the readiness says. */
  serving(yes: boolean): void;
  close(): Promise<void>;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const host = options.host ?? "127.0.0.1";
  const tls = options.tls === undefined ? {} : { tls: readTls(options.tls) };
  const tracer = await openTracing(options.tracing ?? null);
  const metrics = createGatewayMetrics(options.stats, { process_metrics: options.process_metrics ?? true });
  options.more_metrics?.(metrics.registry);
  const { intake, decisions, clock, timers, texts, identity, log } = options;
  const provisional = (rows: number) => metrics.provisional(rows);
  const desk = new CallDesk({ intake, decisions, clock, timers, texts, tracer, provisional });
  const shared = { host, desk, identity, metrics, payments: options.payments ?? true, ...tls };
  const admin = options.admin === undefined ? null : { ...options.admin, identity, log };
  const grpc = await startGrpcServer({ ...shared, admin, port: options.grpc_port });
  let rest: RestServer;
  try {
    const { readiness } = options;
    rest = await startRestServer({
      ...shared,
      port: options.rest_port,
      readiness,
      log,
      version: options.version ?? "0",
    });
  } catch (error) {
    await grpc.close(0);
    throw error;
  }
  let consumer: PaymentConsumer | null = null;
  if (options.streams !== undefined) {
    try {
      consumer = await PaymentConsumer.start({ desk, identity, streams: options.streams, log, metrics });
    } catch (error) {
      await Promise.all([grpc.close(0), rest.close()]);
      throw error;
    }
  }
  grpc.serving(options.readiness().ready);
  log.info({ grpc_port: grpc.port, rest_port: rest.port, nats: consumer !== null }, "gateway started");
  return {
    grpcPort: grpc.port,
    restPort: rest.port,
    serving: (yes) => grpc.serving(yes),
    async close() {
      await shutDown(desk, grpc, rest, consumer, options.drain_ms ?? 5000);
      await tracer.close();
    },
  };
}

async function shutDown(
  desk: CallDesk,
  grpc: GrpcServer,
  rest: RestServer,
  consumer: PaymentConsumer | null,
  wait_ms: number,
): Promise<void> {
  grpc.drain();
  await consumer?.stop(wait_ms);
  desk.drain();
  await desk.idle(wait_ms);
  await Promise.all([grpc.close(wait_ms), rest.close()]);
  desk.close();
}
