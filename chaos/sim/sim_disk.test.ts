/** The snapshot contract on the simulator's disks: they are what its nodes' snapshots are proven with. */
import { SimWorld } from "../../runtime/testkit/sim_world.ts";
import { snapshotContract } from "../../runtime/testkit/snapshot_contract.ts";
import { SimDisk } from "./hosted_ports.ts";
import { SimHost } from "./sim_host.ts";

snapshotContract("snapshots on a simulated disk", async () => {
  const world = new SimWorld(7);
  const store = new SimDisk(new SimHost(world, "m"));
  let isOpen = true;
  const time = (async () => {
    while (isOpen) await world.advance(1);
  })();
  const close = async (): Promise<void> => {
    isOpen = false;
    await time;
  };
  return { store, other: store, close };
});
