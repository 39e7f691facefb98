/** The load generator's process as the bench sees it: one command at a time, each with its answer. */
import { join } from "node:path";
import type { CallsResult, UnaryOptions } from "../load/calls.ts";
import type { HistoryResult } from "../load/history_loop.ts";
import type { LoadCommand, LoadReport, OpenedLoad, OpenOptions, SavedLedger } from "../load/main.ts";
import type { PhaseOptions, PhaseResult } from "../load/open_loop.ts";
import { Child } from "./child.ts";

export class LoadProcess {
  readonly #child: Child;
  /** Called with payments done and in all while the history is sent. */
  onProgress: (done: number, total: number) => void = () => {};

  constructor(root: string) {
    const args = ["--max-semi-space-size=64", join(root, "chaos/load/main.ts")];
    this.#child = new Child("the load generator", args, { cwd: root, ipc: true });
  }

  get pid(): number {
    return this.#child.pid;
  }

  open(options: OpenOptions): Promise<OpenedLoad> {
    return this.#ask({ what: "open", options });
  }

  history(): Promise<HistoryResult> {
    return this.#ask({ what: "history" });
  }

  phase(options: PhaseOptions): Promise<PhaseResult> {
    return this.#ask({ what: "phase", options });
  }

  unary(options: UnaryOptions): Promise<CallsResult> {
    return this.#ask({ what: "unary", options });
  }

  bulk(calls: number): Promise<CallsResult> {
    return this.#ask({ what: "bulk", calls });
  }

  save(folder: string): Promise<SavedLedger> {
    return this.#ask({ what: "save", folder });
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }

  #ask<T>(command: LoadCommand): Promise<T> {
    const { process: child } = this.#child;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        child.off("message", onMessage);
        child.off("exit", onExit);
      };
      const onExit = (): void => {
        settle();
        reject(new Error(`the load generator ended: ${this.#child.tail}`));
      };
      const onMessage = (report: LoadReport): void => {
        if (report.kind === "progress") {
          this.onProgress(report.done, report.total);
          return;
        }
        settle();
        if (report.kind === "answer") resolve(report.answer as T);
        else reject(new Error(`${command.what}: ${report.message}`));
      };
      child.on("message", onMessage);
      child.once("exit", onExit);
      child.send(command);
    });
  }
}
