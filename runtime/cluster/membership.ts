/**
 * What a node knows of its cluster, from the announcements of all: who is there, who owns and who follows which shard.
 * It announces this node every 200 ms and at each change, and counts a node that was not heard for 2 s as away.
 *
 * Nothing here decides who owns a shard; leases and journals do. A route that is out of date costs a message to a node
 * that says so, so a route stays until somebody announces a higher epoch.
 */
import { FORMAT_NEWEST } from "../../proto/frame/frame_header.ts";
import type { Clock, Timers, Transport } from "../ports.ts";
import { ANNOUNCEMENT_OLDEST, type Announcement, type NodeRole, writeAnnouncement } from "../wire/announcement.ts";
import type { PlacedNode } from "./placement.ts";
import type { Routes } from "./route_view.ts";

export const ANNOUNCE_MS = 200;
/** Announcements that many changes ask for are that far apart, milliseconds. */
export const ANNOUNCE_GAP_MS = 5;
export const AWAY_MS = 2000;
/** A node that is away may be back as it was, and must be able to follow: so long its journal format counts. */
const RETURN_MS = 60_000;
/** Nodes of a cluster, this one included. */
export const NODES_MAX = 64;
/** Boots of one node that are remembered as replaced. */
const REPLACED_MAX = 4;

/** What a node says of itself beyond its name, boot, weight and role. */
export type Described = Pick<Announcement, "owned" | "following" | "leaving" | "damaged">;

export interface MembershipOptions {
  readonly node: string;
  readonly boot: string;
  readonly weight: number;
  readonly role: NodeRole;
  readonly shards: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly transport: Transport;
  /** This node as it is now; called at each announcement. */
  readonly describe: () => Described;
  /** Told on a later turn that nodes, routes or followers are not what they were; one call for many changes. */
  readonly changed: () => void;
}

/** What is held of one node. */
interface Member {
  readonly name: string;
  boot: string;
  /** Of the last announcement of this boot. */
  number: number;
  /** Boots before this one, oldest first. */
  readonly replaced: string[];
  weight: number;
  role: NodeRole;
  /** Newest journal format that it reads. */
  reads_format: number;
  leaving: boolean;
  /** 1 for each shard it follows. */
  readonly follows: Uint8Array;
  live: boolean;
  heardUs: number;
}

/** A node as this one knows it. */
export interface KnownNode {
  readonly name: string;
  readonly boot: string;
  readonly weight: number;
  readonly role: NodeRole;
  readonly live: boolean;
  readonly leaving: boolean;
  /** Since its last announcement, microseconds; 0 for this node itself. */
  readonly silent_us: number;
  readonly following: readonly number[];
}

export class Membership {
  /** Announcements of another process with this node's name. */
  doubles = 0;
  /** Announcements of nodes beyond NODES_MAX. */
  refused = 0;
  readonly routes: Routes = {
    node: (shard) => this.#reachable[shard] ?? null,
    epoch: (shard) => this.#epochs[shard] ?? 0,
  };
  readonly #o: MembershipOptions;
  readonly #self: Member;
  /** All other nodes, those away included. */
  readonly #others = new Map<string, Member>();
  /** By shard: the highest epoch ever heard (0: none), who announced it, and the same when that node is not away. */
  readonly #epochs: Float64Array;
  readonly #owners: (string | null)[];
  readonly #reachable: (string | null)[];
  readonly #scratch: Uint8Array;
  #stopTicks: (() => void) | null = null;
  #stopped = false;
  #announcePending = false;
  #changePending = false;
  #announcedUs = Number.NEGATIVE_INFINITY;
  #tickedUs = 0;

  constructor(o: MembershipOptions) {
    this.#o = o;
    this.#self = newMember(o.node, o.boot, o.shards);
    this.#self.number = 0;
    this.#self.weight = o.weight;
    this.#self.role = o.role;
    this.#self.reads_format = FORMAT_NEWEST;
    this.#self.live = true;
    this.#epochs = new Float64Array(o.shards);
    this.#owners = new Array<string | null>(o.shards).fill(null);
    this.#reachable = new Array<string | null>(o.shards).fill(null);
    this.#scratch = new Uint8Array(o.shards);
  }

  /** The first announcement goes out on a later turn, so that what `describe` looks at may still be made. */
  start(): void {
    if (this.#stopTicks !== null || this.#stopped) return;
    this.#tickedUs = this.#o.clock.monotonicUs();
    this.#stopTicks = this.#o.timers.every(ANNOUNCE_MS, () => this.#tick());
    this.#announceSoon();
  }

  /** Sends an announcement that is due and ends. What was known stays readable. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopTicks?.();
    if (this.#announcePending) this.#announce();
    this.#stopped = true;
  }

  /** This node changed: routes show it now, the others hear of it within ANNOUNCE_GAP_MS. Nothing before start(). */
  announceNow(): void {
    if (this.#stopTicks === null || this.#stopped) return;
    this.#describe();
    this.#announceSoon();
  }

  /**
   * Takes an announcement that came over the transport, in whatever order they come. False: it is no news of another
   * node, and nothing that it says counts.
   */
  heard(a: Announcement): boolean {
    if (this.#stopped) return false;
    if (a.from === this.#o.node) {
      if (a.boot !== this.#o.boot) this.doubles++;
      return false;
    }
    const member = this.#others.get(a.from) ?? this.#admit(a.from, a.boot);
    if (member === null) this.refused++;
    if (member === null || !isNews(member, a)) return false;
    this.#take(member, a);
    return true;
  }

  /** What this node announces as its weight. */
  get weight(): number {
    return this.#self.weight;
  }

  /** This node wants another share of the shards from now on; the others hear of it within ANNOUNCE_GAP_MS. */
  setWeight(weight: number): void {
    if (weight === this.#self.weight) return;
    this.#self.weight = weight;
    this.#note();
    this.announceNow();
  }

  /** The nodes that may be given shards: those that are there, not leaving and no gateways, this one included. */
  nodes(): PlacedNode[] {
    return [this.#self, ...this.#others.values()]
      .filter(({ live, leaving, role }) => live && !leaving && role !== "gateway")
      .map(({ name, weight }) => ({ name, weight }));
  }

  /** The newest journal format that every node reads which is there, or was a minute ago. */
  get readsFormat(): number {
    const nowUs = this.#o.clock.monotonicUs();
    let format = this.#self.reads_format;
    for (const member of this.#others.values()) {
      if (member.live || nowUs - member.heardUs < RETURN_MS * 1000) format = Math.min(format, member.reads_format);
    }
    return format;
  }

  /** All nodes ever heard of and not forgotten, this one first. */
  known(): KnownNode[] {
    const nowUs = this.#o.clock.monotonicUs();
    return [this.#self, ...this.#others.values()].map((m) => ({
      name: m.name,
      boot: m.boot,
      weight: m.weight,
      role: m.role,
      live: m.live,
      leaving: m.leaving,
      silent_us: m === this.#self ? 0 : nowUs - m.heardUs,
      following: Array.from(m.follows.keys()).filter((shard) => m.follows[shard] === 1),
    }));
  }

  isLive(name: string): boolean {
    return this.#member(name)?.live === true;
  }

  /** True when the node is there and follows the shard up to its journal's tail. */
  follows(name: string, shard: number): boolean {
    const member = this.#member(name);
    return member?.live === true && member.follows[shard] === 1;
  }

  #member(name: string): Member | undefined {
    return name === this.#o.node ? this.#self : this.#others.get(name);
  }

  /** A place for a node not heard of before; null when NODES_MAX are there. */
  #admit(name: string, boot: string): Member | null {
    if (this.#others.size >= NODES_MAX - 1) {
      // Names of pods and the like never come back: the one that has been away the longest makes room.
      let gone: Member | null = null;
      for (const member of this.#others.values()) {
        if (!member.live && (gone === null || member.heardUs < gone.heardUs)) gone = member;
      }
      if (gone === null) return null;
      this.#others.delete(gone.name);
    }
    const member = newMember(name, boot, this.#o.shards);
    this.#others.set(name, member);
    return member;
  }

  #take(member: Member, a: Announcement): void {
    if (a.boot !== member.boot) {
      const again = member.replaced.indexOf(a.boot);
      if (again >= 0) member.replaced.splice(again, 1);
      member.replaced.push(member.boot);
      if (member.replaced.length > REPLACED_MAX) member.replaced.shift();
      member.boot = a.boot;
    }
    member.number = a.number;
    member.heardUs = this.#o.clock.monotonicUs();
    const differs = !member.live || member.weight !== a.weight || member.role !== a.role;
    member.live = true;
    member.weight = a.weight;
    member.role = a.role;
    member.reads_format = a.reads_format;
    const told = this.#learn(member, a);
    if (differs || told) this.#note();
  }

  /** Takes over what a node says of itself; true when something is new. */
  #learn(member: Member, said: Described): boolean {
    const follows = this.#scratch.fill(0);
    for (const shard of said.following) if (shard < follows.length) follows[shard] = 1;
    let differs = said.leaving !== member.leaving || follows.some((bit, shard) => bit !== member.follows[shard]);
    member.follows.set(follows);
    member.leaving = said.leaving;
    for (const { shard, epoch } of said.owned) {
      // Two nodes cannot have taken over with one epoch: an equal one is the same owner's, said again.
      if (shard >= this.#epochs.length || epoch <= this.#epochs[shard]) continue;
      this.#epochs[shard] = epoch;
      this.#owners[shard] = member.name;
      differs = true;
    }
    return differs;
  }

  #describe(): Described {
    const described = this.#o.describe();
    if (this.#learn(this.#self, described)) this.#note();
    return described;
  }

  #announceSoon(): void {
    if (this.#announcePending) return;
    this.#announcePending = true;
    const announce = (): void => {
      if (!this.#stopped) this.#announce();
    };
    const wait_us = this.#announcedUs + ANNOUNCE_GAP_MS * 1000 - this.#o.clock.monotonicUs();
    if (wait_us > 0) this.#o.timers.after(Math.ceil(wait_us / 1000), announce);
    else this.#o.timers.soon(announce);
  }

  #announce(): void {
    this.#announcePending = false;
    this.#announcedUs = this.#o.clock.monotonicUs();
    const { node: from, boot, role } = this.#o;
    const { weight } = this.#self;
    const number = ++this.#self.number;
    const { reads_format } = this.#self;
    const said = { from, boot, number, weight, role, reads_format, ...this.#describe() };
    // One that does not go out is followed by the next one.
    this.#o.transport.broadcast(writeAnnouncement(said));
    if (!this.#isAnyOld) return;
    this.#o.transport.broadcast(writeAnnouncement(said, ANNOUNCEMENT_OLDEST));
  }

  /** A node is there whose code drops what this one announces: it says itself that it reads the first format only. */
  get #isAnyOld(): boolean {
    for (const member of this.#others.values()) if (member.live && member.reads_format === 1) return true;
    return false;
  }

  #tick(): void {
    const nowUs = this.#o.clock.monotonicUs();
    const late_us = nowUs - this.#tickedUs - ANNOUNCE_MS * 1000;
    this.#tickedUs = nowUs;
    let differs = false;
    for (const member of this.#others.values()) {
      if (!member.live) continue;
      // While this process stood still it could hear nobody, and what came meanwhile is not yet read.
      if (late_us > ANNOUNCE_MS * 1000) member.heardUs = Math.min(nowUs, member.heardUs + late_us);
      if (nowUs - member.heardUs < AWAY_MS * 1000) continue;
      member.live = false;
      differs = true;
    }
    if (differs) this.#note();
    this.#announceSoon();
  }

  /** Something is not what it was: routes follow now, the listener is told later. */
  #note(): void {
    for (let shard = 0; shard < this.#owners.length; shard++) {
      const owner = this.#owners[shard];
      this.#reachable[shard] = owner !== null && this.isLive(owner) ? owner : null;
    }
    if (this.#changePending) return;
    this.#changePending = true;
    this.#o.timers.soon(() => {
      this.#changePending = false;
      if (!this.#stopped) this.#o.changed();
    });
  }
}

function newMember(name: string, boot: string, shards: number): Member {
  const follows = new Uint8Array(shards);
  const unheard = {
    number: -1,
    weight: 0,
    role: "all",
    reads_format: 1,
    leaving: false,
    live: false,
    heardUs: 0,
  } as const;
  return { name, boot, replaced: [], follows, ...unheard };
}

/**
 * False for an announcement that a later one overtook, for one of a boot that another replaced, and for one in a format
 * for older nodes: what a process reads does not become less. Which of two boots is the later one is not known to who
 * heard of neither before: a late or repeated word of the earlier one may seem to replace the one that runs. So a
 * replaced boot counts again when the other has fallen silent.
 */
function isNews(member: Member, a: Announcement): boolean {
  if (a.boot === member.boot && a.reads_format < member.reads_format) return false;
  return a.boot === member.boot ? a.number > member.number : !(member.live && member.replaced.includes(a.boot));
}
