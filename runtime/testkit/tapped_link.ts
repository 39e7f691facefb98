/** A link whose deliveries a test may change, hold or lose, over a real one. */
import type { Msg, NatsConnection, SubscriptionOptions } from "@nats-io/nats-core";
import { NatsLink } from "../nats/connection.ts";

/**
 * `tap` delivers what it wants in a message's place, and when it wants; `address` says where what is published to a
 * subject goes. The real link stays the one to close.
 */
export function tappedLink(
  real: NatsLink,
  tap: (message: Msg, deliver: (message: Msg) => void) => void,
  address: (subject: string) => string = (subject) => subject,
): NatsLink {
  const subscribe = (subject: string, o: SubscriptionOptions = {}) => {
    const callback = o.callback ?? (() => {});
    return real.client.subscribe(subject, {
      ...o,
      callback: (error, message) => {
        if (error !== null) return callback(error, message);
        tap(message, (given) => callback(null, given));
      },
    });
  };
  const publish: NatsConnection["publish"] = (subject, data, o) => real.client.publish(address(subject), data, o);
  const client = new Proxy(real.client, {
    get(target, key) {
      if (key === "subscribe") return subscribe;
      if (key === "publish") return publish;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  }) as NatsConnection;
  return new NatsLink(client, { inbox_prefix: real.inbox().slice(0, real.inbox().indexOf(".")) });
}
