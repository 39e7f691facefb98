/**
 * `npm run bench`: measures one node on this machine. The bench itself belongs to chaos, which nothing imports: it
 * runs as a process of its own, with this one's arguments.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";

const MAIN = "../../chaos/bench/main.ts";

const child = spawn(process.execPath, [join(import.meta.dirname, MAIN), ...process.argv.slice(2)], {
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
child.once("error", (error) => {
  process.stderr.write(`the bench could not be started: ${error.message}\n`);
  process.exit(1);
});
child.once("exit", (code) => process.exit(code ?? 1));
