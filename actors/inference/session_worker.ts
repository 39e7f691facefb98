/**
 * The thread of an inference actor: waits for a run in shared memory, scores it in place, says so in shared memory
 * (engine.ts holds the other end). Errors go back as text; only what is said here of a run reaches the actor.
 */
import { parentPort, workerData } from "node:worker_threads";
import { CONTROL, type WorkerData, type WorkerMessage } from "./engine.ts";
import { ModelSession } from "./session.ts";

const { onnx, device, featureCount, control, buffers } = workerData as WorkerData;
const tell = (message: WorkerMessage) => parentPort?.postMessage(message);

async function serve(): Promise<void> {
  let session: ModelSession;
  try {
    session = await ModelSession.create(onnx, device, featureCount);
  } catch (error) {
    tell({ kind: "refused", message: (error as Error).message });
    return;
  }
  let seen = Atomics.load(control, CONTROL.request);
  tell({ kind: "ready", provider: session.provider });
  for (;;) {
    // Blocks the thread: nothing else runs on it, and a wake-up by a message costs twenty times more.
    Atomics.wait(control, CONTROL.request, seen);
    seen = Atomics.load(control, CONTROL.request);
    if (Atomics.load(control, CONTROL.stop) === 1) break;
    let failed = 0;
    try {
      const buffer = buffers[control[CONTROL.buffer]];
      await session.run(buffer.matrix, control[CONTROL.rows], buffer.scores);
    } catch (error) {
      failed = 1;
      tell({ kind: "error", message: (error as Error).message });
    }
    Atomics.store(control, CONTROL.failed, failed);
    Atomics.store(control, CONTROL.response, seen);
    Atomics.notify(control, CONTROL.response);
  }
  await session.close();
}

await serve();
