/**
 * Completing the lockfile: what is missing, for which platform, and what is left alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completed, missingPackages } from "./lockfile.ts";

const names = ["@x/a-linux-x64", "@x/a-linux-arm64-musl", "@x/a-darwin-arm64", "@x/a-windows-ia32", "@x/b-linux-armv7"];
const lockfile = {
  lockfileVersion: 3,
  packages: {
    "": {},
    "node_modules/@x/a": {
      version: "1.0.0",
      dev: true,
      optionalDependencies: Object.fromEntries(names.map((n) => [n, "1.0.0"])),
    },
    "node_modules/@x/a-linux-x64": { version: "1.0.0", os: ["linux"], cpu: ["x64"] },
    "node_modules/z": { version: "2.0.0" },
  },
};

test("the optional packages of other platforms are added with their platform, the rest is untouched", () => {
  const missing = missingPackages(lockfile);
  const common = { version: "1.0.0", dev: true, optional: true };
  assert.deepEqual(Object.fromEntries(missing), {
    "node_modules/@x/a-linux-arm64-musl": { ...common, os: ["linux"], cpu: ["arm64"], libc: ["musl"] },
    "node_modules/@x/a-darwin-arm64": { ...common, os: ["darwin"], cpu: ["arm64"] },
    "node_modules/@x/a-windows-ia32": { ...common, os: ["win32"], cpu: ["ia32"] },
    "node_modules/@x/b-linux-armv7": { ...common, os: ["linux"], cpu: ["arm"] },
  });
  const whole = completed(lockfile);
  assert.equal(missingPackages(whole).size, 0);
  assert.deepEqual(whole.packages["node_modules/@x/a-linux-x64"], lockfile.packages["node_modules/@x/a-linux-x64"]);
  assert.equal(Object.keys(whole.packages).at(-1), "node_modules/z");
});

test("a package whose name says no platform is an error, not a guess", () => {
  const odd = { packages: { "node_modules/q": { optionalDependencies: { fsevents: "1.0.0" } } } };
  assert.throws(() => missingPackages(odd), /fsevents: its name does not say its platform/);
});
