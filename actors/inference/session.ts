/**
 * One ONNX Runtime session: a model on one device, one thread. `run` reads features and writes scores in place, in
 * memory that may be shared between threads. ONNX Runtime for Node computes on the thread that calls it, which is why
 * the inference actor gives the session a thread of its own (session_worker.ts).
 */
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";

/** `auto`: CUDA when the installed build and the machine have it, else the CPU. `cuda`: CUDA or an error. */
export type Device = "auto" | "cpu" | "cuda";

const OPTIONS: ort.InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: "sequential",
  graphOptimizationLevel: "all",
  // Errors only: what matters is thrown as well.
  logSeverityLevel: 3,
};

export class ModelSession {
  /** The provider that the session was made with; operators that it lacks run on the CPU. */
  readonly provider: "cpu" | "cuda";
  readonly #session: ort.InferenceSession;
  readonly #input: string;
  readonly #output: string;
  readonly #featureCount: number;

  private constructor(session: ort.InferenceSession, provider: "cpu" | "cuda", featureCount: number) {
    this.#session = session;
    this.provider = provider;
    this.#featureCount = featureCount;
    this.#input = session.inputNames[0];
    this.#output = session.outputNames[0];
  }

  /** Rejects when ONNX Runtime refuses the model or the device, or the graph is not rows x features -> rows x 1. */
  static async create(onnx: Uint8Array, device: Device, featureCount: number): Promise<ModelSession> {
    const { session, provider } = await open(onnx, device);
    const [input, output] = [session.inputMetadata[0], session.outputMetadata[0]];
    const one = session.inputNames.length === 1 && session.outputNames.length === 1;
    if (!one || !isMatrix(input, featureCount) || !isMatrix(output, 1)) {
      await session.release();
      throw new Error(`the graph must map float32 (rows, ${featureCount}) to float32 (rows, 1)`);
    }
    return new ModelSession(session, provider, featureCount);
  }

  /** Scores the first `rows` rows of `matrix` into `scores`. One run at a time. */
  async run(matrix: Float32Array, rows: number, scores: Float32Array): Promise<void> {
    const features = new ort.Tensor("float32", matrix.subarray(0, rows * this.#featureCount), [
      rows,
      this.#featureCount,
    ]);
    const answer = new ort.Tensor("float32", scores.subarray(0, rows), [rows, 1]);
    await this.#session.run({ [this.#input]: features }, { [this.#output]: answer });
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

async function open(onnx: Uint8Array, device: Device) {
  const present = device !== "cpu" && hasCudaProvider();
  if (device === "cuda" && !present) throw new Error("this build of onnxruntime-node has no CUDA provider");
  if (present) {
    try {
      const session = await ort.InferenceSession.create(onnx, { ...OPTIONS, executionProviders: ["cuda", "cpu"] });
      return { session, provider: "cuda" as const };
    } catch (error) {
      // A machine without the GPU or its driver is what "auto" is for.
      if (device === "cuda") throw error;
    }
  }
  const session = await ort.InferenceSession.create(onnx, { ...OPTIONS, executionProviders: ["cpu"] });
  return { session, provider: "cpu" as const };
}

/** Looked for as a file: asking ONNX Runtime for a provider that it lacks writes an error to the terminal. */
function hasCudaProvider(): boolean {
  const root = join(dirname(fileURLToPath(import.meta.resolve("onnxruntime-node"))), "..");
  const name = `*onnxruntime_providers_cuda.*`;
  return globSync(join(root, "bin", "*", process.platform, process.arch, name)).length > 0;
}

function isMatrix(value: ort.InferenceSession.ValueMetadata, columns: number): boolean {
  return value.isTensor && value.type === "float32" && value.shape.length === 2 && value.shape[1] === columns;
}
