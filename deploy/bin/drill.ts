/** `npm run drill`: chaos drills on real processes. */
import { runOwnProcess } from "../commands/own_process.ts";

runOwnProcess(new URL("../../chaos/drill/main.ts", import.meta.url));
