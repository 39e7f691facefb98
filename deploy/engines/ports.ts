/**
 * Loopback ports and connections for local engines.
 */
import { connect, createServer, type Socket } from "node:net";

/** Engines listen here and nowhere else. */
export const LOOPBACK = "127.0.0.1";

/** `wanted` when it can be bound, otherwise a free port. 0 asks for any free port. */
export async function freePort(wanted: number): Promise<number> {
  return (await bindable(wanted)) ?? (await bindable(0)) ?? Promise.reject(new Error("no free port on loopback"));
}

function bindable(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === "object" && address !== null ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });
}

/**
 * Connects, sends `request`, and collects the answer until `done` says it is complete. Rejects when the connection
 * fails, ends early, or the answer is not complete within `timeout_ms`.
 */
export function ask(
  port: number,
  request: string,
  done: (answer: string) => boolean,
  timeout_ms: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket: Socket = connect({ host: LOOPBACK, port });
    const finish = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    const fail = (why: string): void => finish(() => reject(new Error(`${why}; got ${JSON.stringify(answer)}`)));
    socket.setTimeout(timeout_ms, () => fail(`no complete answer in ${timeout_ms} ms`));
    socket.once("error", (error) => fail(error.message));
    socket.once("end", () => fail("the connection ended early"));
    socket.once("connect", () => socket.write(request));
    socket.setEncoding("utf8").on("data", (part: string) => {
      answer += part;
      if (done(answer)) finish(() => resolve(answer));
      else if (answer.length > 1 << 20) fail("the answer is too long");
    });
  });
}
