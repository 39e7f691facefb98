/** `npm run bench`: measures one node on this machine. */
import { runOwnProcess } from "../commands/own_process.ts";

runOwnProcess(new URL("../../chaos/bench/main.ts", import.meta.url));
