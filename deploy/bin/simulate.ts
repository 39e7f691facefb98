/** `npm run simulate`: the runtime on a simulated world, seed after seed. */
import { runOwnProcess } from "../commands/own_process.ts";

runOwnProcess(new URL("../../chaos/simulate/main.ts", import.meta.url));
