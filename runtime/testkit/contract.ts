/** How a suite that several adapters share registers its tests. */
import { test } from "node:test";

/** Registers one test of the suite over an adapter of its own, which is closed whatever comes of it. */
export type Check<H> = (what: string, run: (used: H) => Promise<void>) => void;

/** `name` stands before each test's; `harness` gives an empty adapter each time. */
export function checks<H extends { close(): Promise<void> }>(name: string, harness: () => Promise<H>): Check<H> {
  return (what, run) => {
    test(`${name}: ${what}`, async () => {
      const used = await harness();
      try {
        await run(used);
      } finally {
        await used.close();
      }
    });
  };
}
