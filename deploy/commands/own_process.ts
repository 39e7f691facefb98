/**
 * Commands whose code belongs to chaos, which nothing imports: run as a process of their own, with this one's
 * arguments, signals and exit code.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export function runOwnProcess(main: URL): void {
  const child = spawn(process.execPath, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  child.once("error", (error) => {
    process.stderr.write(`${fileURLToPath(main)} could not be started: ${error.message}\n`);
    process.exit(1);
  });
  child.once("exit", (code) => process.exit(code ?? 1));
}
