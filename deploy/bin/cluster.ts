/** `npm run cluster`: several nodes on this machine. */
import { runCluster } from "../commands/cluster_run.ts";

process.exit(await runCluster(process.argv.slice(2)));
