import { matches } from "./filter.js";
import type { Message, QoS, TrefoilError } from "./wire.js";

/** Called with each message. When it returns a promise, a QoS 1 message is acknowledged once that settles. */
export type Handler = (message: Message) => unknown;

/**
 * What happens to messages for which there is no room. `latest_per_topic`: of what waits, the newest on each topic is
 * left. `disconnect`: the connection ends, and the client connects anew.
 */
export type SlowReader = "drop_newest" | "drop_oldest" | "latest_per_topic" | "disconnect";

/** How to subscribe. */
export interface SubscribeOptions {
  /** The highest QoS at which messages come. Default: 0. */
  qos?: QoS;
  /** Whether the messages that the hub keeps come first. Default: true. */
  retained?: boolean;
  /** Whether this client's own messages stay away. Default: false. */
  noLocal?: boolean;
  /** What the hub does with messages for which this client is too slow. Default: what the hub is set to. */
  slowReader?: SlowReader;
  /** How many messages may wait for the iterator before the oldest of QoS 0 are dropped. Default: 1000. */
  bufferMax?: number;
}

/** What a subscription needs of its client. */
export interface Owner {
  leave(subscription: Subscription): Promise<void>;
  handlerFailed(cause: unknown): void;
}

interface Waiting {
  message: Message;
  /** Called when the consumer is done with the message. */
  done(): void;
}

interface Taker {
  resolve(result: IteratorResult<Message, void>): void;
  reject(error: TrefoilError): void;
}

/**
 * A standing wish for messages. It outlives the connection: the client subscribes anew after each reconnect.
 * Without a handler it is an async iterator, and a QoS 1 message is acknowledged when the next one is asked for.
 */
export class Subscription implements AsyncIterableIterator<Message> {
  /** The QoS that the hub granted, one for each filter. Rejects if the hub refuses. */
  readonly ready: Promise<QoS[]>;
  /** How many messages were dropped because the iterator did not keep up. */
  dropped = 0;

  /** @internal Settle `ready`. */
  granted!: (qos: QoS[]) => void;
  #refused!: (error: TrefoilError) => void;
  #buffer: Waiting[] = [];
  #takers: Taker[] = [];
  #taken: Waiting | undefined;
  #ended = false;
  #error: TrefoilError | undefined;

  /** @internal */
  constructor(
    readonly owner: Owner,
    readonly filters: readonly string[],
    readonly options: SubscribeOptions,
    readonly handler: Handler | undefined,
  ) {
    this.ready = new Promise((resolve, reject) => {
      this.granted = resolve;
      this.#refused = reject;
    });
    // Whoever does not look at `ready` learns of a refusal from the client's error event.
    this.ready.catch(() => {});
  }

  /** Ends the subscription. Resolves when the hub has confirmed it. */
  async unsubscribe(): Promise<void> {
    if (this.#ended) return;
    this.end();
    await this.owner.leave(this);
  }

  /** The next message. */
  next(): Promise<IteratorResult<Message, void>> {
    this.#settleTaken();
    const waiting = this.#buffer.shift();
    if (waiting) {
      this.#taken = waiting;
      return Promise.resolve({ value: waiting.message, done: false });
    }
    if (this.#error) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** Called by `for await` when the loop is left: ends the subscription. */
  async return(): Promise<IteratorResult<Message, void>> {
    await this.unsubscribe();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal */
  takes(topic: string): boolean {
    return this.filters.some((filter) => matches(filter, topic));
  }

  /** @internal Resolves when the consumer is done with the message. */
  async deliver(message: Message): Promise<void> {
    if (this.handler) {
      try {
        await this.handler(message);
      } catch (cause) {
        // It counts as done all the same: holding back the acknowledgement would not bring the message again on this
        // connection, it would only fill the hub's window for this client until nothing flows.
        this.owner.handlerFailed(cause);
      }
      return;
    }
    return new Promise((done) => this.#offer({ message, done }));
  }

  /** @internal */
  end(error?: TrefoilError): void {
    this.#ended = true;
    this.#settleTaken();
    for (const waiting of this.#buffer.splice(0)) waiting.done();
    if (error) {
      this.#error = error;
      this.#refused(error);
    } else {
      this.granted([]);
    }
    for (const taker of this.#takers.splice(0)) {
      if (error) taker.reject(error);
      else taker.resolve({ value: undefined, done: true });
    }
  }

  #offer(waiting: Waiting): void {
    const taker = this.#takers.shift();
    if (taker) {
      this.#taken = waiting;
      taker.resolve({ value: waiting.message, done: false });
      return;
    }
    this.#buffer.push(waiting);
    if (this.#buffer.length > (this.options.bufferMax ?? 1000)) {
      // Messages of QoS 1 stay: they are not acknowledged yet, so the hub's window for this client bounds them.
      const oldest = this.#buffer.findIndex(({ message }) => message.qos === 0);
      if (oldest >= 0) {
        this.#buffer.splice(oldest, 1)[0]?.done();
        this.dropped++;
      }
    }
  }

  #settleTaken(): void {
    this.#taken?.done();
    this.#taken = undefined;
  }
}
