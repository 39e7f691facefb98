/**
 * The two records that are not rows: Takeover (who owns the journal from here on) and Release (the owner gave it up).
 * Body of both: node id, boot id; each a u16 length, little endian, and that many bytes of UTF-8.
 */
import { FrameError, type FrameFields, HEADER_BYTES, sealFrame } from "../../proto/frame/frame_header.ts";

/** Who speaks: the node, and which start of its process. */
export interface Owner {
  readonly node: string;
  readonly bootId: string;
}

/**
 * Who a restore says it is. Its Takeover raises the epoch by more than one: frame numbers behind it come again, and
 * sealed sections of the same (epoch, frame) may not.
 */
export const RESTORE_NODE = "(restore)";

const MAX_NAME_BYTES = 255;
/** The first format with this body; any code can read who owns a journal. */
const OWNER_FORMAT = 1;

function nameBytes(field: string, name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length > MAX_NAME_BYTES) {
    throw new FrameError("length", `${field} has ${bytes.length} bytes, allowed 1..${MAX_NAME_BYTES}`);
  }
  return bytes;
}

/** A sealed Takeover or Release frame. */
export function sealOwnerFrame(owner: Owner, fields: FrameFields): Uint8Array {
  const node = nameBytes("node", owner.node);
  const boot = nameBytes("boot id", owner.bootId);
  const bytes = new Uint8Array(HEADER_BYTES + 4 + node.length + boot.length);
  const at = new DataView(bytes.buffer);
  at.setUint16(HEADER_BYTES, node.length, true);
  bytes.set(node, HEADER_BYTES + 2);
  at.setUint16(HEADER_BYTES + 2 + node.length, boot.length, true);
  bytes.set(boot, HEADER_BYTES + 4 + node.length);
  sealFrame(bytes, fields, OWNER_FORMAT);
  return bytes;
}

/** The owner named by a Takeover or Release frame. */
export function readOwner(frame: Uint8Array): Owner {
  const at = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const text = new TextDecoder("utf-8", { fatal: true });
  const take = (from: number): { name: string; end: number } => {
    if (from + 2 > frame.length) throw new FrameError("length", "owner body ends early");
    const end = from + 2 + at.getUint16(from, true);
    if (end > frame.length) throw new FrameError("length", "owner body ends early");
    return { name: text.decode(frame.subarray(from + 2, end)), end };
  };
  const node = take(HEADER_BYTES);
  const boot = take(node.end);
  if (boot.end !== frame.length) throw new FrameError("length", "bytes behind the owner body");
  return { node: node.name, bootId: boot.name };
}
