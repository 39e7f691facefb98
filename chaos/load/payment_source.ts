/**
 * One run's payments: whose they are, when they happened, which ids they have, and what became of them. The senders
 * (open loop, history, calls) fill their messages here.
 */
import { EventTimeline, eventTimeUs, type Stretch } from "./event_timeline.ts";
import { Ledger } from "./ledger.ts";
import { MESSAGE_ROWS, type PaymentMessage } from "./payment_message.ts";
import { Population } from "./population.ts";

export interface SourceOptions {
  readonly users: number;
  readonly merchants: number;
  readonly seed: number;
  /** First 24 characters of every id; another one for every run. */
  readonly id_prefix: string;
  readonly currency: string;
  /** Event time from one payment to the next, microseconds; whatever the rate they are sent at. */
  readonly event_step_us: number;
  /** Event time where the history begins, and that no payment may pass. Microseconds. */
  readonly event_start_us: number;
  readonly event_limit_us: number;
}

export class PaymentSource {
  readonly options: SourceOptions;
  readonly people: Population;
  readonly timeline: EventTimeline;
  readonly ledger = new Ledger();

  constructor(options: SourceOptions) {
    this.options = options;
    this.people = new Population(options.users, options.merchants, options.seed);
    this.timeline = new EventTimeline(options.event_start_us, options.event_limit_us);
  }

  /** Reserves the payments of a phase. */
  stretch(count: number): Stretch {
    return this.timeline.append(this.ledger.reserve(count), count, this.options.event_step_us);
  }

  /** Payments from + 0..63 of a stretch, drawn from the population. */
  fill(message: PaymentMessage, s: Stretch, from: number): void {
    for (let i = 0; i < MESSAGE_ROWS; i++) {
      const merchant = this.people.drawMerchant();
      message.setRow(i, s.first + from + i, this.people.drawUser(), merchant, eventTimeUs(s, from + i));
    }
  }

  historyStretch(): Stretch {
    const count = this.people.historyCount;
    return this.timeline.append(this.ledger.reserve(count), count, this.people.historyStepUs);
  }

  /** Payments from + 0..63 of the history: the same ones whenever it is called again for the same message. */
  fillHistory(message: PaymentMessage, s: Stretch, from: number): void {
    for (let i = 0; i < MESSAGE_ROWS; i++) {
      const j = from + i;
      message.setRow(i, s.first + j, this.people.historyUser(j), this.people.historyMerchant(j), eventTimeUs(s, j));
    }
  }
}
