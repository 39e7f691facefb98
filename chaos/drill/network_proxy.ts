/**
 * The network between a node and its NATS server: a TCP proxy on loopback that can stop either direction or make it
 * slow. What is stopped is held, as TCP holds it, and goes on when the cut is healed: late, not lost.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

const LOOPBACK = "127.0.0.1";

interface Pair {
  readonly node: Socket;
  readonly server: Socket;
}

export class NetworkProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #requestsCut = false;
  #answersCut = false;
  /** Added to each direction, milliseconds. */
  delay_ms = 0;
  port = 0;

  private constructor(target_port: () => number) {
    this.#server = createServer((node) => this.#join(node, connect({ host: LOOPBACK, port: target_port() })));
  }

  /** `target_port` is asked for each connection. */
  static async start(target_port: () => number): Promise<NetworkProxy> {
    const proxy = new NetworkProxy(target_port);
    await new Promise<void>((resolve) => proxy.#server.listen({ host: LOOPBACK, port: 0 }, resolve));
    proxy.port = (proxy.#server.address() as { port: number }).port;
    return proxy;
  }

  /** Stops (true) or lets go on what the node sends and what it is sent. */
  cut(requests: boolean, answers: boolean): void {
    this.#requestsCut = requests;
    this.#answersCut = answers;
    for (const pair of this.#pairs) this.#apply(pair);
  }

  close(): void {
    this.#server.close();
    for (const { node, server } of this.#pairs) {
      node.destroy();
      server.destroy();
    }
  }

  #join(node: Socket, server: Socket): void {
    const pair = { node, server };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      node.destroy();
      server.destroy();
    };
    for (const [from, to] of [
      [node, server],
      [server, node],
    ] as const) {
      from.setNoDelay(true);
      from.on("error", end);
      from.on("close", end);
      // What is delayed must not be overtaken by what is not.
      let delayed = 0;
      from.on("data", (bytes: Buffer) => {
        if (this.delay_ms === 0 && delayed === 0) {
          to.write(bytes);
          return;
        }
        delayed++;
        setTimeout(() => {
          delayed--;
          if (!to.destroyed) to.write(bytes);
        }, this.delay_ms);
      });
    }
    this.#apply(pair);
  }

  #apply({ node, server }: Pair): void {
    if (this.#requestsCut) node.pause();
    else node.resume();
    if (this.#answersCut) server.pause();
    else server.resume();
  }
}
