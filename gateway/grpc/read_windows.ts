/**
 * How far clients may send ahead of what this process has read. grpc-js leaves HTTP/2's default on servers, 64 KiB a
 * stream and a connection: under load the payments then wait in the clients, where each stream falls behind by another
 * time and nothing can be shed. With wide windows they wait in the mailbox, in the order of their arrival, and the
 * mailbox sheds. grpc-js offers no option for it, Node's diagnostics channel shows every session's first stream.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";

/** Bytes a stream may have unread: some 6,000 payments. */
export const STREAM_WINDOW_BYTES = 1 << 20;
/** Bytes all streams of a connection together may have unread. */
export const SESSION_WINDOW_BYTES = 4 << 20;
const CHANNEL = "http2.server.stream.created";

/** Widens the windows of every HTTP/2 session of this process from now on; returns what ends that. */
export function widenReadWindows(): () => void {
  const known = new WeakSet<ServerHttp2Session>();
  const widen = (message: unknown) => {
    const { session } = (message as { readonly stream: ServerHttp2Stream }).stream;
    if (session === undefined || known.has(session as ServerHttp2Session)) return;
    known.add(session as ServerHttp2Session);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    session.settings({ initialWindowSize: STREAM_WINDOW_BYTES });
  };
  subscribe(CHANNEL, widen);
  return () => void unsubscribe(CHANNEL, widen);
}
