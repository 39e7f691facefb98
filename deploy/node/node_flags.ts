/**
 * How a node's process is started. The node holds its state in large typed arrays and its messages in short-lived
 * buffers, which V8 counts as external memory. By its defaults it would mark the whole heap every 64 MB of buffers;
 * without that limit, whenever the small heap of objects grew by a little: five times a second, on as many threads as
 * there are, a quarter of all processor time. Small semi-spaces free buffers early; one helper thread is enough.
 */
export const NODE_FLAGS: readonly string[] = [
  "--max-semi-space-size=8",
  "--external-memory-accounted-in-global-limit",
  "--heap-growing-percent=200",
  "--v8-pool-size=1",
];
