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
import { fraudRoutes } from "./fraud_routes.ts";
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
  readonly tls?: TlsMaterial;
}

export interface RestServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Largest body, bytes: 1,000 payments with long fields. */
export const BODY_BYTES_MAX = 8 << 20;

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
  const { tls } = options;
  const settings = {
    bodyLimit: BODY_BYTES_MAX,
    routerOptions: { maxParamLength: 256 },
    requestTimeout: 30_000,
    forceCloseConnections: "idle" as const,
    logger: false as const,
  };
  const app: FastifyInstance =
    tls === undefined
      ? fastify(settings)
      : (fastify({
          ...settings,
          https: {
            cert: tls.cert,
            key: tls.key,
            ...(tls.client_ca === null ? {} : { ca: tls.client_ca, requestCert: true, rejectUnauthorized: true }),
          },
        }) as unknown as FastifyInstance);
  app.removeContentTypeParser("text/plain");
  app.decorateRequest("tenant", null);
  const routes = routesOf(app);
  app.setErrorHandler((error: FastifyError | ProblemError, _request, reply) => onError(error, reply, options.log));
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
  app.register(async (v1) => {
    v1.addHook("onRequest", async (request) => authenticate(request, options.identity));
    fraudRoutes(v1, options.desk);
  });
  operationRoutes(app, options);
  return app;
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

async function authenticate(request: FastifyRequest, identity: Identity): Promise<void> {
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

function onError(error: FastifyError | ProblemError, reply: FastifyReply, log: Logger): void {
  if (error instanceof ProblemError) {
    sendProblem(reply, error.refusal, error.status);
    return;
  }
  const status = error.statusCode ?? 500;
  if (status === 413) {
    sendProblem(reply, refusal(ErrorCode.INVALID, `the body is larger than ${BODY_BYTES_MAX} bytes`), 413);
  } else if (status === 415) {
    sendProblem(reply, refusal(ErrorCode.MALFORMED, "send JSON with the header content-type: application/json"), 415);
  } else if (status >= 400 && status < 500) {
    sendProblem(reply, refusal(ErrorCode.MALFORMED, error.message), status);
  } else {
    log.error({ err: error }, "request failed");
    sendProblem(reply, refusal(ErrorCode.INTERNAL, "the request failed; nothing is known of its outcome"), 500);
  }
}
