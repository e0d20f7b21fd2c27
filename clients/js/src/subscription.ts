import { Emitter } from "./events.js";
import { matches } from "./filter.js";
import { Places, type Gap, type Since } from "./places.js";
import type { Incoming, Message, Present, QoS, TrefoilError } from "./wire.js";

/** Called with each message. When it returns a promise, a QoS 1 message is acknowledged once that settles. */
export type Handler<Data = any> = (message: Message<Data>) => unknown;

/**
 * What happens to messages for which there is no room. `latest_per_topic`: of what waits, the newest on each topic is
 * left. `disconnect`: the connection ends, and the client connects anew.
 */
export type SlowReader = "drop_newest" | "drop_oldest" | "latest_per_topic" | "disconnect";

/** How to subscribe. */
export interface SubscribeOptions {
  /** The highest QoS at which messages come. Default: 0. */
  qos?: QoS;
  /** Whether the messages that topics keep come first, and again after a reconnect. Default: true. */
  retained?: boolean;
  /** The last messages of each topic that has a history, so many at most, come first. Default: 0. */
  history?: number;
  /** What comes after that comes first: what `since` of an earlier subscription was. Goes before `history`. */
  since?: Since | undefined;
  /** Whether to follow who is on the topic. For one filter without wildcards. Default: false. */
  presence?: boolean;
  /** Whether this client's own messages stay away. Default: false. */
  noLocal?: boolean;
  /** What the hub does with messages for which this client is too slow. Default: what the hub is set to. */
  slowReader?: SlowReader;
  /** How many messages may wait for the iterator before the oldest of QoS 0 are dropped. Default: 1000. */
  bufferMax?: number;
}

/** What `on` of a subscription can listen to. */
export interface SubscriptionEvents {
  /** Something is missing that should have come. */
  gap: Gap;
  /** A client has come. */
  join: PresenceEvent;
  /** A client has gone. */
  leave: PresenceEvent;
  /** The list is new, or of a topic with very many clients the count has changed. */
  presence: { topic: string; count: number };
}

/** A client that has come or gone. */
export interface PresenceEvent extends Omit<Present, "kind">, Partial<Pick<Present, "kind">> {
  /** The topic. */
  topic: string;
  /** How many are there now. */
  count: number;
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
  resolve(result: IteratorResult<Message<any>, void>): void;
  reject(error: TrefoilError): void;
}

/**
 * A standing wish for messages. It outlives the connection: the client subscribes anew after each reconnect.
 * Without a handler it is an async iterator, and a QoS 1 message is acknowledged when the next one is asked for.
 */
export class Subscription<Data = any> extends Emitter<SubscriptionEvents> implements AsyncIterableIterator<Message<Data>> {
  /** The QoS that the hub granted, one for each filter. Rejects if the hub refuses. */
  readonly ready: Promise<QoS[]>;
  /** How many messages were dropped because the iterator did not keep up. */
  dropped = 0;
  /**
   * With the option `presence`: who is on the topic, by client id. Of a topic with more clients than the hub lists it is
   * empty; `count` is right all the same.
   */
  readonly presence: ReadonlyMap<string, Present> = new Map();
  /** With the option `presence`: how many clients are on the topic. */
  count = 0;

  #settleReady!: (qos: QoS[]) => void;
  #refused!: (error: TrefoilError) => void;
  #buffer: Waiting[] = [];
  #takers: Taker[] = [];
  #taken: Waiting | undefined;
  #ended = false;
  readonly #places: Places;
  #error: TrefoilError | undefined;

  /** @internal */
  readonly owner: Owner;
  readonly #handler: Handler | undefined;

  /** @internal */
  constructor(
    owner: Owner,
    /** What it is for. */
    readonly filters: readonly string[],
    /** How it was asked for. */
    readonly options: SubscribeOptions,
    handler: Handler | undefined,
  ) {
    super();
    this.owner = owner;
    this.#handler = handler;
    this.#places = new Places(options.since ?? {});
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = resolve;
      this.#refused = reject;
    });
    // Whoever does not look at `ready` learns of a refusal from the client's error event.
    this.ready.catch(() => {});
  }

  /**
   * How far it has come in the histories of its topics: what to give as option `since` to go on there, for instance after
   * the page was loaded again. Nothing if the hub keeps no history.
   */
  get since(): Since | undefined {
    return this.#places.since();
  }

  /** Ends the subscription. Resolves when the hub has confirmed it. */
  async unsubscribe(): Promise<void> {
    if (this.#ended) return;
    this.end();
    await this.owner.leave(this);
  }

  /** The next message. */
  next(): Promise<IteratorResult<Message<Data>, void>> {
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
  async return(): Promise<IteratorResult<Message<Data>, void>> {
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

  /** @internal The hub has made the subscription. */
  granted({ qos = 0, time, gap }: Incoming): void {
    this.#places.began(time);
    this.#settleReady([qos].flat() as QoS[]);
    if (gap) this.emit("gap", { filters: this.filters });
  }

  /** @internal Whether the message has not come before. */
  isNew(message: Message): boolean {
    return this.#places.note(message);
  }

  /** @internal */
  missed(gap: Gap): void {
    if (!gap.epoch) this.#places.forget(gap.topic!);
    this.emit("gap", gap);
  }

  /** @internal A frame about who is on a topic. */
  present(frame: Incoming, topic: string): void {
    const presence = this.presence as Map<string, Present>;
    const { join, leave, count = 0, clients = [], ...who } = frame;
    this.count = count;
    if (frame.presence) {
      presence.clear();
      for (const one of clients) presence.set(one.client, one);
      return this.emit("presence", { topic, count });
    }
    const one = who as unknown as Present;
    if (join) presence.set(one.client, one);
    // A client that comes again under its id may be there before its old connection is gone.
    else if (presence.get(one.client)?.connection === one.connection) presence.delete(one.client);
    this.emit(join ? "join" : "leave", { topic, count, ...one });
  }

  /** @internal Resolves when the consumer is done with the message. */
  async deliver(message: Message): Promise<void> {
    if (this.#handler) {
      try {
        await this.#handler(message);
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
      this.#settleReady([]);
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
