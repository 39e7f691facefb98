import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FEATURE_COUNT } from "../features/registry.ts";
import { type Engine, type EngineOptions, InlineEngine, WorkerEngine } from "./engine.ts";
import { INLINE_ROWS_MAX } from "./hybrid_engine.ts";
import { InferenceActor, type InferenceOptions, type ScoreBuffer } from "./inference_actor.ts";
import { type LoadedModel, loadModel, ModelError } from "./model.ts";
import { syntheticMatrix } from "./synthetic_matrix.ts";
import { CLOCK, eventually, HandTimer, SHIPPED_MODEL } from "./testkit.ts";

const CAPACITY = 2048;
const data = syntheticMatrix(CAPACITY, 11);

let model: LoadedModel;
let timer: HandTimer;
const started: InferenceActor[] = [];

async function start(change: Partial<InferenceOptions> = {}): Promise<InferenceActor> {
  timer = new HandTimer();
  const options = { model, capacity: CAPACITY, buffers: 2, budget_ms: 50, timer, clock: CLOCK, ...change };
  const actor = await InferenceActor.start(options);
  started.push(actor);
  return actor;
}

function filled(actor: InferenceActor, rows: number): ScoreBuffer {
  const buffer = actor.acquire();
  assert.ok(buffer, "a buffer is free");
  buffer.matrix.set(data.matrix.subarray(0, rows * FEATURE_COUNT));
  return buffer;
}

/** A real engine whose runs start when the gate opens: what a busy device looks like, without a race. */
class GatedEngine implements Engine {
  readonly #engine: Engine;
  open: Promise<void> = Promise.resolve();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get provider() {
    return this.#engine.provider;
  }
  get alive() {
    return this.#engine.alive;
  }
  readonly answered = false;

  async run(buffer: number, rows: number): Promise<boolean> {
    await this.open;
    return this.#engine.run(buffer, rows);
  }

  close() {
    return this.#engine.close();
  }
}

/** An actor whose runs wait until the returned gate is opened. */
async function startGated(buffers: number): Promise<{ actor: InferenceActor; openGate: () => void }> {
  let engine: GatedEngine | undefined;
  const gated = async (options: EngineOptions) => {
    engine = new GatedEngine(await WorkerEngine.start(options));
    return engine;
  };
  const actor = await start({ buffers, engine: gated });
  assert.ok(engine);
  const gate = Promise.withResolvers<void>();
  engine.open = gate.promise;
  return { actor, openGate: gate.resolve };
}

before(async () => {
  model = await loadModel(SHIPPED_MODEL);
});
after(async () => {
  for (const actor of started) await actor.close();
});

describe("the inference actor", () => {
  test("gives each row the same score in any batch, on its own thread and on the caller's", async () => {
    const own = await start({ engine: WorkerEngine.start });
    const both = await start();
    const inline = await start({ engine: InlineEngine.start });
    const whole = filled(own, CAPACITY);
    assert.equal(await own.score(whole, CAPACITY), "scored");
    const scores = whole.scores.slice();
    assert.ok(
      scores.every((s) => s > 0 && s < 1),
      "scores are probabilities",
    );
    assert.ok(new Set(scores).size > CAPACITY / 20, "scores differ from row to row");
    own.release(whole);
    for (const [actor, rows] of [
      [own, 1],
      [own, 77],
      [inline, 1],
      [inline, 77],
      [inline, CAPACITY],
      [both, INLINE_ROWS_MAX],
      [both, INLINE_ROWS_MAX + 1],
    ] as const) {
      const buffer = filled(actor, rows);
      assert.equal(await actor.score(buffer, rows), "scored");
      assert.deepEqual(buffer.scores.slice(0, rows), scores.slice(0, rows));
      actor.release(buffer);
    }
    assert.equal(own.provider, "cpu");
    assert.equal(timer.armed, 0, "no budget timer is left behind");
    assert.deepEqual([own.counters.runs, own.counters.rows], [3, CAPACITY + 78]);
  });

  test("runs what waits in its turn and refuses beyond its buffers", async () => {
    const actor = await start();
    const buffers = [filled(actor, 100), filled(actor, 60)];
    const order: number[] = [];
    const results = buffers.map((b, i) =>
      actor.score(b, 60).then((result) => {
        order.push(i);
        return result;
      }),
    );
    assert.equal(actor.acquire(), null);
    assert.deepEqual(await Promise.all(results), ["scored", "scored"]);
    assert.deepEqual(order, [0, 1]);
    assert.equal(actor.acquire(), null, "a scored buffer is the caller's until released");
    for (const b of buffers) actor.release(b);
    assert.ok(actor.acquire());
    assert.equal(actor.counters.refused, 2);
  });
});

describe("the inference actor's budget", () => {
  test("past it answers late, and keeps the buffer until its run has ended", async () => {
    const { actor, openGate } = await startGated(1);
    const buffer = filled(actor, CAPACITY);
    const result = actor.score(buffer, CAPACITY);
    timer.fire();
    assert.equal(await result, "late");
    actor.release(buffer);
    assert.equal(actor.acquire(), null, "the run still reads the buffer");
    openGate();
    await eventually("the late run ends and frees its buffer", () => actor.counters.runs === 1);
    const again = actor.acquire();
    assert.equal(again, buffer);
    assert.deepEqual([actor.counters.late, actor.counters.errors], [1, 0]);
    assert.equal(await actor.score(buffer, 5), "scored");
  });

  test("a run that is late while it waits is not started", async () => {
    const { actor, openGate } = await startGated(2);
    const [first, second] = [filled(actor, CAPACITY), filled(actor, 100)];
    const results = [actor.score(first, CAPACITY), actor.score(second, 100)];
    timer.fire();
    assert.deepEqual(await Promise.all(results), ["late", "late"]);
    actor.release(second);
    assert.equal(actor.acquire(), second, "free at once: no run reads it");
    openGate();
    await eventually("the first run ends", () => actor.counters.runs === 1);
    assert.equal(actor.counters.rows, CAPACITY);
  });

  test("scores that are there are not late because the caller's thread was busy", async () => {
    const actor = await start();
    const buffer = filled(actor, 100);
    const result = actor.score(buffer, 100);
    const until = performance.now() + 100;
    while (performance.now() < until);
    timer.fire();
    assert.equal(await result, "scored");
    assert.equal(actor.counters.late, 0);
  });
});

describe("the inference actor's engine", () => {
  test("a thread that dies fails its runs, and another takes its place", async () => {
    const engines: Engine[] = [];
    const errors: string[] = [];
    const engine = async (options: EngineOptions) => {
      engines.push(await WorkerEngine.start(options));
      return engines.at(-1) as Engine;
    };
    const actor = await start({ engine, onError: (message) => errors.push(message) });
    const [first, second] = [filled(actor, CAPACITY), filled(actor, 10)];
    const results = [actor.score(first, CAPACITY), actor.score(second, 10)];
    await engines[0].close();
    // The run under way may have ended before its thread did; the one that waited found none.
    assert.match(await results[0], /scored|failed/);
    assert.equal(await results[1], "failed");
    assert.equal(actor.acquire(), null, "no scores while the engine is down");
    actor.release(first);
    actor.release(second);
    await eventually("a new thread", () => actor.provider === "cpu");
    const buffer = filled(actor, 10);
    assert.equal(await actor.score(buffer, 10), "scored");
    assert.deepEqual([engines.length, actor.counters.restarts], [2, 1]);
    assert.deepEqual(errors, [], "an end that was asked for is no error");
  });

  test("closing fails what waits", async () => {
    const actor = await start();
    const results = [actor.score(filled(actor, CAPACITY), CAPACITY), actor.score(filled(actor, 10), 10)];
    await actor.close();
    assert.match(await results[0], /scored|failed/);
    assert.equal(await results[1], "failed");
    assert.equal(actor.acquire(), null);
  });

  test("a model that ONNX Runtime refuses, or of another shape, is an engine error", async () => {
    const engine = (error: unknown) => error instanceof ModelError && error.code === "engine";
    await assert.rejects(start({ model: { ...model, onnx: new Uint8Array([1, 2, 3]) } }), engine);
    const card = { ...model.card, feature_names: model.card.feature_names.slice(1) };
    await assert.rejects(start({ model: { ...model, card } }), engine);
    await assert.rejects(start({ model: { ...model, card }, engine: InlineEngine.start }), engine);
  });

  test("on CUDA runs on CUDA or not at all", async () => {
    const provider = await start({ device: "cuda" }).then(
      (actor) => actor.provider,
      (error) => error,
    );
    if (provider !== "cuda") assert.ok(provider instanceof ModelError && provider.code === "engine", String(provider));
  });

  test("misuse is an error of the caller", async () => {
    const actor = await start();
    const buffer = filled(actor, 1);
    await assert.rejects(async () => actor.score(buffer, 0), RangeError);
    await assert.rejects(async () => actor.score(buffer, CAPACITY + 1), RangeError);
    const result = actor.score(buffer, 1);
    await assert.rejects(async () => actor.score(buffer, 1), /once/);
    assert.throws(() => actor.release(buffer), /before/);
    await result;
    actor.release(buffer);
    assert.throws(() => actor.release(buffer), /twice/);
  });
});
