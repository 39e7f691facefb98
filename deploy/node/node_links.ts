/** A node's connections to NATS: one to the account of the journals, one to that of the traffic. */
import type { NatsLink } from "../../runtime/nats/connection.ts";
import type { NodeRole } from "../../runtime/wire/announcement.ts";
import { connectAs, type NatsAccess } from "./nats_access.ts";

export interface NodeLinks {
  /** Null: a gateway has no way to the journals. */
  readonly journals: NatsLink | null;
  /** What nodes say to each other, and the public streams. */
  readonly traffic: NatsLink;
  close(): Promise<void>;
}

/** Servers without accounts have one connection for both. Rejects as connectAs does. */
export async function openLinks(
  access: NatsAccess,
  role: NodeRole,
  onRefused: (message: string) => void,
): Promise<NodeLinks> {
  const traffic = await connectAs(access, "traffic", onRefused);
  const close = () => traffic.close();
  if (role === "gateway") return { journals: null, traffic, close };
  if (access.nats_credentials === undefined) return { journals: traffic, traffic, close };
  try {
    const journals = await connectAs(access, "journals", onRefused);
    const closeBoth = async () => {
      await journals.close();
      await traffic.close();
    };
    return { journals, traffic, close: closeBoth };
  } catch (error) {
    await traffic.close();
    throw error;
  }
}
