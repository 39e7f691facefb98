/**
 * The options of a window table, checked once, and what all its actors share: the event memory and the boundaries. A
 * boundary is a length L: it stands at t - L and parts the events into those before and those after it. The first
 * boundaries are the windows themselves; delayed windows add one for their end and one for each start.
 */
import { EventArena } from "./event_arena.ts";
import { frameWord, STRIDE_WITH_IDS, STRIDE_WITHOUT_IDS, TIME_MAX } from "./event_words.ts";
import { LIGHT_EVENTS } from "./summaries.ts";
import { TALLY } from "./tally.ts";

/**
 * Newer events that a late one may have at most, unless told otherwise: what bounds the cost of a late event at a hot
 * actor (one move and one look for each of them). Beyond it the event is late, whatever its time.
 */
export const LATE_EVENTS_MAX = 16_384;

export interface WindowOptions {
  /** Lengths of the windows, ascending, microseconds. */
  readonly windows_us: readonly number[];
  /** Windows (t - delay - W, t - delay], ascending lengths. */
  readonly delayed?: { readonly delay_us: number; readonly windows_us: readonly number[] };
  /** Events at least this much older than the actor's newest may be dropped. */
  readonly retention_us: number;
  /** How much older than the actor's newest an event may come. */
  readonly late_tolerance_us: number;
  /** How many newer events a late one may find; default LATE_EVENTS_MAX. */
  readonly late_events_max?: number;
  /** Events up to which an actor is light; default and most LIGHT_EVENTS. Which it is, is never seen. */
  readonly light_events_max?: number;
  /** Whether events are found by id. */
  readonly ids: boolean;
  /** Events the table holds. */
  readonly events_max: number;
}

const WINDOWS_MAX = 8;

export class WindowPlan {
  readonly arena: EventArena;
  readonly stride: number;
  readonly frameWord: number;
  readonly ids: boolean;
  readonly windows: number;
  readonly longestUs: number;
  readonly delayedWindows: number;
  /** Length of every boundary: windows, then (with delayed windows) their end and their starts. */
  readonly lengths: Float64Array;
  readonly retentionUs: number;
  readonly lateUs: number;
  readonly lateEventsMax: number;
  readonly lightEventsMax: number;
  readonly eventsMax: number;
  /** Scratch of the query under way: TALLY numbers a window. */
  readonly tally: Float64Array;
  /** Scratch: count and frauds of each delayed window. */
  readonly delayed: Float64Array;

  /** Throws RangeError naming the option that makes no sense. */
  constructor(o: WindowOptions) {
    checkLengths("windows_us", o.windows_us);
    if (o.delayed) checkLengths("delayed.windows_us", o.delayed.windows_us);
    checkRange("late_tolerance_us", o.late_tolerance_us, 0, TIME_MAX);
    this.lateEventsMax = o.late_events_max ?? LATE_EVENTS_MAX;
    checkRange("late_events_max", this.lateEventsMax, 0, 1 << 20);
    this.lightEventsMax = o.light_events_max ?? LIGHT_EVENTS;
    checkRange("light_events_max", this.lightEventsMax, 2, LIGHT_EVENTS);
    checkRange("events_max", o.events_max, 1, 2 ** 31);
    const delayed = o.delayed;
    if (delayed) checkRange("delayed.delay_us", delayed.delay_us, 1, TIME_MAX);
    const ends = delayed ? [delayed.delay_us, ...delayed.windows_us.map((w) => w + delayed.delay_us)] : [];
    this.lengths = Float64Array.from([...o.windows_us, ...ends]);
    // A query at a late event's time looks back from there, so its windows must be held too.
    checkRange("retention_us", o.retention_us, Math.max(...this.lengths) + o.late_tolerance_us, TIME_MAX);
    this.stride = o.ids ? STRIDE_WITH_IDS : STRIDE_WITHOUT_IDS;
    this.frameWord = frameWord(this.stride);
    this.arena = new EventArena(this.stride);
    this.ids = o.ids;
    this.windows = o.windows_us.length;
    this.longestUs = o.windows_us[this.windows - 1];
    this.delayedWindows = o.delayed?.windows_us.length ?? 0;
    this.retentionUs = o.retention_us;
    this.lateUs = o.late_tolerance_us;
    this.eventsMax = o.events_max;
    this.tally = new Float64Array(this.windows * TALLY);
    this.delayed = new Float64Array(this.delayedWindows * 2);
  }
}

function checkRange(name: string, v: number, min: number, max: number): void {
  if (!(Number.isInteger(v) && v >= min && v <= max)) throw new RangeError(`${name}: ${v} is not in ${min}..${max}`);
}

function checkLengths(name: string, lengths: readonly number[]): void {
  if (lengths.length < 1 || lengths.length > WINDOWS_MAX) throw new RangeError(`${name}: 1..${WINDOWS_MAX} windows`);
  lengths.forEach((w, i) => {
    checkRange(name, w, 1, TIME_MAX);
    if (i > 0 && w <= lengths[i - 1]) throw new RangeError(`${name}: not ascending`);
  });
}
