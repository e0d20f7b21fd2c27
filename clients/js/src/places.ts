import type { Message } from "./wire.js";

/** The place of a message in the history of its topic. */
export interface Place {
  /** The life of the history: another one says that it was lost and began anew. */
  epoch: string;
  /** The number of the message in it. It rises, and may jump. */
  offset: number;
}

/** From where on a subscription wants what the hub keeps. */
export interface Since {
  /** What was published from then on, of topics that are not in `topics`: microseconds since 1970 by the hub's clock. */
  time?: number;
  /** Which message of a topic came last. */
  topics?: Record<string, Place>;
}

/** Something of what should have come is not there any more. */
export interface Gap extends Partial<Place> {
  /** The topic that misses something. Without it: one of the topics of `filters`; which one is told with its next message. */
  topic?: string;
  /** What was subscribed to. */
  filters: readonly string[];
}

/** Of how many topics the last place is remembered. */
const PLACES_MAX = 10_000;

/** How many of them the hub takes in one `since`. */
const TOPICS_MAX = 1024;

/** How many characters of topics, so that the request stays below the bound of the hub. */
const CHARS_MAX = 1 << 18;

/** How far a subscription has come in the histories of its topics. */
export class Places {
  #time: number | undefined;
  /** The topic that was silent longest comes first. */
  readonly #known = new Map<string, Place>();

  constructor({ time, topics = {} }: Since) {
    this.#time = time;
    for (const [topic, place] of Object.entries(topics)) this.#known.set(topic, place);
  }

  /** The hub has answered the subscribe: what is published from then on, of whatever topic, belongs to it. */
  began(time: number | undefined): void {
    this.#time ??= time;
  }

  /** Notes a message that has come; false if it came before. */
  note({ topic, epoch, offset, retain }: Message): boolean {
    const known = this.#known.get(topic);
    // What a topic with a history keeps beside it is a message that has come already, or will come in its turn.
    if (offset === undefined) return !known || !retain;
    if (known?.epoch === epoch && known!.offset >= offset) return false;
    this.#known.delete(topic);
    this.#known.set(topic, { epoch: epoch!, offset });
    if (this.#known.size > PLACES_MAX) this.forget(this.#known.keys().next().value!);
    return true;
  }

  /** The topic has no history any more. */
  forget(topic: string): void {
    this.#known.delete(topic);
  }

  /** What makes the hub go on behind all that has come; nothing if it never said that it would. */
  since(): Since | undefined {
    const since: Since = {};
    if (this.#time !== undefined) since.time = this.#time;
    if (this.#known.size) {
      let room = CHARS_MAX;
      // Of the topics that find no room all since `time` comes again, and is passed over here.
      const newest = [...this.#known].slice(-TOPICS_MAX).reverse();
      since.topics = Object.fromEntries(newest.filter(([topic]) => (room -= topic.length + 60) > 0));
    }
    return this.#time === undefined && !since.topics ? undefined : since;
  }
}
