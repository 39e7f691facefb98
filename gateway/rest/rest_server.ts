/**
 * Owns the REST server: JSON in protobuf's mapping, turned into the same bytes that gRPC brings and taken by the same
 * desk; problem+json errors; the OpenAPI document; health, readiness and metrics.
 */
import type { AddressInfo } from "node:net";
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { ErrorCode } from "../../proto/gen/fraudguard/v1/fraud_detection_pb.ts";
import type { Tenant } from "../../proto/tenant.ts";
import type { CallDesk } from "../calls/call_desk.ts";
import { refusal } from "../calls/reply.ts";
import type { Identity } from "../identity/identity.ts";
import { AuthenticationFailure } from "../identity/identity_error.ts";
import type { Logger } from "../log.ts";
import type { EndpointMetrics, GatewayMetrics } from "../metrics/gateway_metrics.ts";
import type { Readiness } from "../ports.ts";
import type { TlsMaterial } from "../tls.ts";
import { answerBroken, answerUnroutable } from "./broken_request.ts";
import { fraudRoutes } from "./fraud_routes.ts";
import { BODY_BYTES_MAX, refuseOtherEncodings, takeJsonBodies } from "./json_body.ts";
import { openApiDocument } from "./openapi.ts";
import { ProblemError, sendProblem } from "./problem.ts";

export interface RestServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly desk: CallDesk;
  readonly identity: Identity;
  readonly metrics: GatewayMetrics;
  readonly readiness: () => Readiness;
  readonly log: Logger;
  readonly version: string;
  /** False: no address under /v1 is served. Default true. */
  readonly payments?: boolean;
  readonly tls?: TlsMaterial;
  /** Until the whole request must be here, milliseconds; default 30,000. */
  readonly request_timeout_ms?: number;
}

export interface RestServer {
  readonly port: number;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 30_000;
/** Looks at the connections within one request timeout: a late request is closed that part later at most. */
const TIMEOUT_CHECKS = 6;

declare module "fastify" {
  interface FastifyRequest {
    /** Set on /v1 routes by authentication. */
    tenant: Tenant | null;
  }
}

export async function startRestServer(options: RestServerOptions): Promise<RestServer> {
  const app = createApp(options);
  await app.listen({ host: options.host, port: options.port });
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
}

function createApp(options: RestServerOptions): FastifyInstance {
  const app = fastifyApp(options);
  takeJsonBodies(app);
  app.decorateRequest("tenant", null);
  const routes = routesOf(app);
  app.setErrorHandler((error: FastifyError | ProblemError, request, reply) => {
    onError(error, request, reply, options.log);
  });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsAt(routes, request.url.split("?", 1)[0]);
    if (allowed.length === 0) {
      sendProblem(reply, refusal(ErrorCode.NOT_FOUND, "no such address: /openapi.json lists them"), 404);
    } else {
      reply.header("allow", allowed.join(", "));
      sendProblem(reply, refusal(ErrorCode.INVALID, `this address takes ${allowed.join(", ")}`), 405);
    }
  });
  countRequests(app, options.metrics);
  if (options.payments !== false) app.register(async (v1) => paymentRoutes(v1, options));
  operationRoutes(app, options);
  return app;
}

function paymentRoutes(v1: FastifyInstance, { identity, desk }: RestServerOptions): void {
  v1.addHook("onRequest", async (request) => {
    authenticate(request, identity);
    refuseOtherEncodings(request);
  });
  fraudRoutes(v1, desk);
}

function fastifyApp({ tls, request_timeout_ms = REQUEST_TIMEOUT_MS }: RestServerOptions): FastifyInstance {
  const settings = {
    bodyLimit: BODY_BYTES_MAX,
    routerOptions: { maxParamLength: 256 },
    requestTimeout: request_timeout_ms,
    forceCloseConnections: "idle" as const,
    logger: false as const,
    frameworkErrors: (error: FastifyError, _request: FastifyRequest, reply: FastifyReply) =>
      answerUnroutable(error, reply),
    clientErrorHandler: answerBroken,
  };
  // Node's own interval is as long as the timeout; given the timeout here, it holds for the headers too.
  const http = {
    requestTimeout: request_timeout_ms,
    connectionsCheckingInterval: Math.ceil(request_timeout_ms / TIMEOUT_CHECKS),
  };
  if (tls === undefined) return fastify({ ...settings, http });
  const clients = tls.client_ca === null ? {} : { ca: tls.client_ca, requestCert: true, rejectUnauthorized: true };
  const https = { ...http, cert: tls.cert, key: tls.key, ...clients };
  return fastify({ ...settings, https }) as unknown as FastifyInstance;
}

interface Route {
  readonly method: string;
  /** Parts of its path; those that begin with a colon stand for any text. */
  readonly parts: readonly string[];
}

/** The app's routes, complete when it listens. */
function routesOf(app: FastifyInstance): readonly Route[] {
  const routes: Route[] = [];
  app.addHook("onRoute", ({ method, url }) => {
    for (const m of [method].flat()) routes.push({ method: m, parts: url.split("/") });
  });
  return routes;
}

/** Methods with which the path would be served. */
function methodsAt(routes: readonly Route[], path: string): string[] {
  const parts = path.split("/");
  const matches = (r: Route) =>
    r.parts.length === parts.length &&
    r.parts.every((p, i) => p === parts[i] || (p.startsWith(":") && parts[i] !== ""));
  return routes.filter(matches).map((r) => r.method);
}

function authenticate(request: FastifyRequest, identity: Identity): void {
  const tenant = identity.authenticate(request.headers.authorization);
  if (tenant instanceof AuthenticationFailure) {
    throw new ProblemError(refusal(ErrorCode.UNAUTHENTICATED, tenant.message));
  }
  request.tenant = tenant;
}

function operationRoutes(app: FastifyInstance, options: RestServerOptions): void {
  let document: string | null = null;
  app.get("/openapi.json", async (_request, reply) => {
    document ??= JSON.stringify(openApiDocument(options.version));
    return reply.type("application/json").send(document);
  });
  app.get("/health", async () => ({ status: "ok" }));
  app.get("/ready", async (_request, reply) => {
    const { ready, reason } = options.readiness();
    return reply.code(ready ? 200 : 503).send({ ready, reason });
  });
  app.get("/metrics", async (_request, reply) => {
    const { registry } = options.metrics;
    return reply.type(registry.contentType).send(await registry.metrics());
  });
}

function countRequests(app: FastifyInstance, metrics: GatewayMetrics): void {
  const byRoute = new Map<string, EndpointMetrics>();
  app.addHook("onResponse", async (request, reply) => {
    // The route's pattern, never the path: paths hold ids and would make endless labels.
    const route = request.routeOptions.url ?? "unknown";
    const key = `${request.method} ${route}`;
    let endpoint = byRoute.get(key);
    if (endpoint === undefined) {
      endpoint = metrics.endpoint(request.method, route);
      byRoute.set(key, endpoint);
    }
    endpoint.answered(String(reply.statusCode), reply.elapsedTime * 1000);
  });
}

function onError(error: FastifyError | ProblemError, request: FastifyRequest, reply: FastifyReply, log: Logger): void {
  if (error instanceof ProblemError) {
    sendProblem(reply, error.refusal, error.status);
    return;
  }
  const status = error.statusCode ?? 500;
  if (status === 413) {
    const { bodyLimit } = request.routeOptions;
    const message = `the body is larger than the ${bodyLimit} bytes that this address takes: send less at once`;
    sendProblem(reply, refusal(ErrorCode.INVALID, message), 413);
  } else if (status === 415) {
    sendProblem(reply, refusal(ErrorCode.MALFORMED, "send JSON with the header content-type: application/json"), 415);
  } else if (status >= 400 && status < 500) {
    sendProblem(reply, refusal(ErrorCode.MALFORMED, error.message), status);
  } else {
    log.error({ err: error }, "request failed");
    sendProblem(reply, refusal(ErrorCode.INTERNAL, "the request failed; nothing is known of its outcome"), 500);
  }
}
