/** What every Transport must do, whatever is behind it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Transport, WIRE_BYTES_MAX } from "../ports.ts";
import { seeded } from "./sim_world.ts";

export interface TransportHarness {
  /** A transport of the node, on the network that all of this harness share. */
  open(node: string): Promise<Transport>;
  /** Resolves when all that was asked of the transports before has happened: listening, sending, telling. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

interface Station {
  readonly transport: Transport;
  readonly got: Uint8Array[];
}

type Join = (...nodes: string[]) => Promise<Station[]>;

/** Registers the suite; `harness` gives a network without nodes each time. */
export function transportContract(name: string, harness: () => Promise<TransportHarness>): void {
  const check = (what: string, run: (join: Join, used: TransportHarness) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      const used = await harness();
      const join: Join = async (...nodes) => {
        const stations: Station[] = [];
        for (const node of nodes) {
          const got: Uint8Array[] = [];
          const transport = await used.open(node);
          transport.listen((bytes) => void got.push(bytes));
          stations.push({ transport, got });
        }
        await used.settle();
        return stations;
      };
      try {
        await run(join, used);
      } finally {
        await used.close();
      }
    });
  };
  deliveryTests(check);
  lossTests(check);
  ownershipTests(check);
}

type Check = (what: string, run: (join: Join, used: TransportHarness) => Promise<void>) => void;

/** `length` bytes that only the seed decides. */
function noise(seed: number, length: number): Uint8Array {
  const random = seeded(seed);
  return Uint8Array.from({ length }, () => random() * 256);
}

function same(got: readonly Uint8Array[], expected: readonly Uint8Array[], what: string): void {
  assert.deepEqual(
    got.map((bytes) => bytes.length),
    expected.map((bytes) => bytes.length),
    what,
  );
  for (let i = 0; i < got.length; i++) assert.ok(Buffer.from(got[i]).equals(expected[i]), `${what}: frame ${i}`);
}

function deliveryTests(check: Check): void {
  check("one sender's frames come with their bytes and in their order", async (join, used) => {
    const [a, b, c] = await join("a", "b", "c");
    const [forB, forC]: [Uint8Array[], Uint8Array[]] = [[], []];
    const sizes = [0, 1, 7, 8, 9, 100, 4096, 65_535, 65_536, WIRE_BYTES_MAX - 1, WIRE_BYTES_MAX];
    for (let round = 0; round < 3; round++) {
      for (const size of sizes) {
        const toAll = noise(2 * size + round, size);
        const toB = noise(2 * size + 1 + round, size);
        assert.equal(a.transport.broadcast(toAll), true);
        assert.equal(a.transport.send("b", toB), true);
        forB.push(toAll, toB);
        forC.push(toAll);
      }
      await used.settle();
    }
    same(b.got, forB, "told b");
    same(c.got, forC, "told c");
  });

  check("a broadcast reaches all others and not its sender", async (join, used) => {
    const stations = await join("a", "b", "c", "d");
    for (let i = 0; i < stations.length; i++) stations[i].transport.broadcast(Uint8Array.of(i));
    await used.settle();
    for (let i = 0; i < stations.length; i++) {
      const senders = stations[i].got.map((bytes) => bytes[0]).sort();
      assert.deepEqual(
        senders,
        [0, 1, 2, 3].filter((sender) => sender !== i),
      );
    }
  });

  check("names are told apart, whatever they hold", async (join, used) => {
    const names = ["a", "A", "a.b", "a b", "*", ">", "all", "ä", "a*", "fg.n.all", "x".repeat(200)];
    const stations = await join("sender", ...names);
    for (let i = 0; i < names.length; i++) stations[0].transport.send(names[i], Uint8Array.of(i));
    await used.settle();
    assert.deepEqual(
      stations.slice(1).map(({ got }) => got.map((bytes) => bytes[0])),
      names.map((_, i) => [i]),
    );
    assert.deepEqual(stations[0].got, []);
  });

  check("two with one name hear each other's broadcasts, and both get what is for that name", async (join, used) => {
    const [a, twin, b] = await join("a", "a", "b");
    a.transport.broadcast(Uint8Array.of(1));
    b.transport.send("a", Uint8Array.of(2));
    await used.settle();
    assert.deepEqual([a.got.map(([byte]) => byte), twin.got.map(([byte]) => byte).sort()], [[2], [1, 2]]);
  });

  check("nothing is told before the call that sends it returns", async (join, used) => {
    const [a, b] = await join("a", "b");
    a.transport.send("b", Uint8Array.of(1));
    a.transport.broadcast(Uint8Array.of(2));
    assert.equal(b.got.length, 0);
    await used.settle();
    assert.equal(b.got.length, 2);
  });
}

function lossTests(check: Check): void {
  check("a larger frame is refused and nothing of it goes out", async (join, used) => {
    const [a, b] = await join("a", "b");
    const bytes = new Uint8Array(WIRE_BYTES_MAX + 1);
    assert.equal(a.transport.send("b", bytes), false);
    assert.equal(a.transport.broadcast(bytes), false);
    assert.equal(a.transport.send("b", Uint8Array.of(1)), true);
    await used.settle();
    same(b.got, [Uint8Array.of(1)], "told b");
  });

  check("a frame for a node that is not there, or not yet, is lost without a word", async (join, used) => {
    const [a, b] = await join("a", "b");
    const late = await used.open("late");
    assert.equal(a.transport.send("nobody", Uint8Array.of(1)), true);
    assert.equal(a.transport.send("late", Uint8Array.of(2)), true);
    await used.settle();
    const got: Uint8Array[] = [];
    late.listen((bytes) => void got.push(bytes));
    await used.settle();
    assert.deepEqual([a.got.length, b.got.length, got.length], [0, 0, 0]);
    a.transport.send("late", Uint8Array.of(3));
    await used.settle();
    same(got, [Uint8Array.of(3)], "told the late one");
  });

  check("after close nothing comes and nothing goes out; the others go on", async (join, used) => {
    const [a, b, c] = await join("a", "b", "c");
    a.transport.broadcast(Uint8Array.of(1));
    await used.settle();
    // Under way when b closes, and sent after it.
    a.transport.send("b", Uint8Array.of(2));
    a.transport.broadcast(Uint8Array.of(3));
    b.transport.close();
    b.transport.close();
    a.transport.send("b", Uint8Array.of(4));
    assert.equal(b.transport.send("c", Uint8Array.of(5)), false);
    assert.equal(b.transport.broadcast(Uint8Array.of(6)), false);
    await used.settle();
    same(b.got, [Uint8Array.of(1)], "told b");
    same(c.got, [Uint8Array.of(1), Uint8Array.of(3)], "told c");
    const [again] = await join("b");
    a.transport.send("b", Uint8Array.of(7));
    await used.settle();
    same(again.got, [Uint8Array.of(7)], "told b's successor");
    assert.equal(b.got.length, 1);
  });
}

function ownershipTests(check: Check): void {
  check("the bytes are the listener's own, aligned to 8, and no Buffer", async (_, used) => {
    // Lengths that make a receiver's reads end and begin everywhere.
    const sent = Array.from({ length: 60 }, (_, i) => noise(i, i < 50 ? i : 10_001));
    const kept = sent.map((bytes) => bytes.slice());
    const got: Uint8Array[][] = [];
    const kinds = new Set<string>();
    const sender = await used.open("sender");
    for (const node of ["a", "b"]) {
      const mine: Uint8Array[] = [];
      got.push(mine);
      const transport = await used.open(node);
      transport.listen((bytes) => {
        // A Buffer's slice() is a view, which a listener that knows Uint8Arrays does not expect.
        kinds.add(`${bytes.constructor.name} at ${bytes.byteOffset % 8}`);
        mine.push(bytes.slice());
        bytes.fill(0xaa);
      });
    }
    await used.settle();
    for (const bytes of sent) {
      sender.send("a", bytes);
      sender.broadcast(bytes);
    }
    await used.settle();
    assert.deepEqual([...kinds], ["Uint8Array at 0"]);
    same(sent, kept, "the sender's");
    same(got[1], kept, "told b");
    same(
      got[0],
      kept.flatMap((bytes) => [bytes, bytes]),
      "told a",
    );
  });

  check("there is one listener", async (join) => {
    const [a] = await join("a");
    assert.equal(a.transport.node, "a");
    assert.throws(() => a.transport.listen(() => {}), /listens already/);
  });
}
