import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { STREAM_WINDOW_BYTES, widenReadWindows } from "./read_windows.ts";

test("a client learns of the wide windows with its first stream", { timeout: 10_000 }, async () => {
  const end = widenReadWindows();
  const server = createServer().listen(0, "127.0.0.1");
  server.on("stream", (stream) => stream.respond());
  await once(server, "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    const stream = client.request({ ":method": "POST" });
    while (client.remoteSettings.initialWindowSize !== STREAM_WINDOW_BYTES) await once(client, "remoteSettings");
    // The connection's window comes in a frame of its own: an answered ping says that it has arrived.
    await new Promise<void>((resolve, reject) => client.ping((error) => (error ? reject(error) : resolve())));
    assert.ok((client.state.remoteWindowSize ?? 0) > STREAM_WINDOW_BYTES, JSON.stringify(client.state));
    stream.close();
  } finally {
    end();
    client.destroy();
    server.close();
  }
});
