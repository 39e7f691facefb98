/**
 * How a node's process is started. Small semi-spaces and external memory counted with the heap: the node holds its
 * state in large typed arrays and its messages in buffers, and by V8's separate limit for external memory every 64 MB
 * of buffers, twice a second under load, would mark the whole heap (p99 at 60,000/s 150 ms with it, 35 without).
 */
export const NODE_FLAGS: readonly string[] = [
  "--max-semi-space-size=16",
  "--external-memory-accounted-in-global-limit",
];
