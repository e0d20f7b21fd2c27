import { Emitter } from "./events.js";
import { Subscription, type Handler, type SubscribeOptions } from "./subscription.js";
import { webSocket, type Connect, type Transport } from "./transport.js";
import { TrefoilError, decodeMessage, encodePublish } from "./wire.js";
import type { Incoming, Message, Payload, PublishOptions, QoS } from "./wire.js";

/** `connecting` before each attempt has an outcome, `waiting` between attempts, `closed` after `close()` only. */
export type Status = "connecting" | "open" | "waiting" | "closed";

/** How the client behaves. Every time is in milliseconds. */
export interface ClientOptions {
  /** The way to the hub. Default: a WebSocket. */
  transport?: Connect;
  /** How many publishes may wait for a connection or an acknowledgement. Default: 1000. */
  queueMax?: number;
  /** How many characters of them, with what the socket has not yet sent. Default: 4 Mi. */
  queueBytesMax?: number;
  /** The first wait before a new attempt; it doubles with each. Default: 250. */
  backoffMs?: number;
  /** The longest wait before a new attempt. Default: 15 000. */
  backoffMaxMs?: number;
  /** How long an attempt may take. Default: 10 000. */
  connectTimeoutMs?: number;
  /** Silence after which a ping is sent; as much again without an answer ends the connection. Default: 20 000. */
  pingIntervalMs?: number;
}

/** What `on` can listen to. */
export interface ClientEvents {
  status: Status;
  /** A connection stands, and the subscriptions are on their way. */
  open: { reconnected: boolean };
  /** A connection ended or an attempt failed. `retryMs` says when the next one starts, if one does. */
  close: { code: number; reason: string; retryMs?: number };
  /** Each message, before the handlers of the subscriptions see it. */
  message: Message;
  /** What nobody awaits: a refused subscription, a handler that threw, an error of the hub about no known request. */
  error: TrefoilError;
}

interface Outgoing {
  text: string;
  qos: QoS;
  resolve(): void;
  reject(error: TrefoilError): void;
}

interface Request {
  resolve(answer: Incoming): void;
  reject(error: TrefoilError): void;
}

/** A connection to the hub that mends itself. It connects as soon as it is constructed. */
export class Client extends Emitter<ClientEvents> {
  readonly url: string;
  readonly #options: ClientOptions;
  readonly #connectTransport: Connect;
  #status: Status = "connecting";
  #transport: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempts = 0;
  #reconnected = false;
  #nextId = 1;
  /** Text arrived since the last look: the connection lives. */
  #heard = false;
  #pinged = false;
  /** In the order of publishing. QoS 0: not yet sent. QoS 1: not yet acknowledged. */
  readonly #outgoing = new Map<number, Outgoing>();
  #outgoingLength = 0;
  /** Asked on this connection and not yet answered. */
  readonly #requests = new Map<number, Request>();
  readonly #subscriptions = new Set<Subscription>();

  /**
   * @param url `ws://HOST:PORT/ws`, or just `http://HOST:PORT`; in a page, by default, the host it came from.
   */
  constructor(url: string | URL = globalThis.location?.origin, options: ClientOptions = {}) {
    super();
    const parsed = new URL(url);
    parsed.protocol = parsed.protocol.replace("http", "ws");
    if (parsed.pathname === "/") parsed.pathname = "/ws";
    this.url = parsed.href;
    this.#options = options;
    this.#connectTransport = options.transport ?? webSocket();
    this.#connect();
    globalThis.addEventListener?.("online", this.#online);
  }

  get status(): Status {
    return this.#status;
  }

  /**
   * Publishes a message. Without a connection it waits in a queue; when that is full, the promise rejects at once
   * with `queue_full`. At QoS 1 it is sent again after a reconnect until the hub acknowledges it.
   */
  publish(topic: string, payload?: Payload, options: PublishOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const qos = options.qos ?? 0;
      const text = encodePublish(topic, payload, options, qos ? id : undefined);
      const waiting = this.#outgoingLength + (this.#transport?.bufferedAmount ?? 0);
      if (this.#status === "closed") {
        reject(closed());
      } else if (
        this.#outgoing.size >= (this.#options.queueMax ?? 1000) ||
        waiting + text.length > (this.#options.queueBytesMax ?? 4 << 20)
      ) {
        reject(new TrefoilError("queue_full", `${this.#outgoing.size} messages wait already`));
      } else {
        this.#outgoing.set(id, { text, qos, resolve, reject });
        this.#outgoingLength += text.length;
        if (this.#status === "open") this.#sendOutgoing(id);
      }
    });
  }

  /** Subscribes; the result is an async iterator over the messages. */
  subscribe(filters: string | readonly string[], options?: SubscribeOptions): Subscription;
  /** Subscribes; `handler` is called with each message. */
  subscribe(filters: string | readonly string[], handler: Handler, options?: SubscribeOptions): Subscription;
  subscribe(
    filters: string | readonly string[],
    handler?: Handler | SubscribeOptions,
    options?: SubscribeOptions,
  ): Subscription {
    const isHandler = typeof handler === "function";
    const subscription = new Subscription(
      { leave: (it) => this.#leave(it), handlerFailed: (cause) => this.#report("handler_failed", String(cause), cause) },
      typeof filters === "string" ? [filters] : [...filters],
      (isHandler ? options : handler) ?? {},
      isHandler ? handler : undefined,
    );
    if (this.#status === "closed") {
      subscription.end(closed());
    } else {
      this.#subscriptions.add(subscription);
      if (this.#status === "open") this.#join(subscription);
    }
    return subscription;
  }

  /** Asks the hub for an answer; resolves with the milliseconds that it took. */
  async ping(): Promise<number> {
    const start = performance.now();
    await this.#request((ping) => ({ ping }));
    return performance.now() - start;
  }

  /** Ends the connection and all subscriptions. What waits to be published is rejected. */
  close(): void {
    if (this.#status === "closed") return;
    globalThis.removeEventListener?.("online", this.#online);
    this.#drop(1000, "closed by this client", false);
    for (const subscription of this.#subscriptions) subscription.end();
    this.#subscriptions.clear();
    for (const id of [...this.#outgoing.keys()]) this.#finish(id)?.reject(closed());
  }

  #connect(): void {
    this.#setStatus("connecting");
    this.#transport = this.#connectTransport(this.url, {
      open: () => this.#opened(),
      text: (text) => this.#received(text),
      close: (code, reason) => this.#drop(code, reason, true),
    });
    this.#timer = setTimeout(
      () => this.#drop(1006, "no connection in time", true),
      this.#options.connectTimeoutMs ?? 10_000,
    );
  }

  #opened(): void {
    this.#setStatus("open");
    this.#watch();
    for (const subscription of this.#subscriptions) this.#join(subscription);
    for (const id of [...this.#outgoing.keys()]) this.#sendOutgoing(id);
    this.emit("open", { reconnected: this.#reconnected });
    this.#reconnected = true;
  }

  /** Notices a connection that is dead without having said so. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#heard) this.#pinged = false;
      else if (this.#pinged) return this.#drop(1006, "the hub is silent", true);
      else {
        this.#pinged = true;
        this.ping().catch(() => {});
      }
      this.#heard = false;
      this.#watch();
    }, this.#options.pingIntervalMs ?? 20_000);
  }

  /** Leaves the connection, whatever its state, and plans the next one unless it is for good. */
  #drop(code: number, reason: string, retry: boolean): void {
    clearTimeout(this.#timer);
    this.#transport?.close();
    this.#transport = undefined;
    this.#heard = this.#pinged = false;
    const event: ClientEvents["close"] = { code, reason };
    if (retry) {
      const { backoffMs = 250, backoffMaxMs = 15_000 } = this.#options;
      // Half of the wait is random, so that the clients of a hub that restarts do not come back all at once.
      event.retryMs = Math.min(backoffMaxMs, backoffMs * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
      this.#timer = setTimeout(() => this.#connect(), event.retryMs);
    }
    this.#setStatus(retry ? "waiting" : "closed");
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(new TrefoilError("disconnected", "the connection ended before the answer came"));
    this.emit("close", event);
  }

  /** The network is back: no reason to sit out the wait. */
  readonly #online = (): void => {
    if (this.#status !== "waiting") return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #received(text: string): void {
    this.#heard = true;
    // Only now: a hub that accepts and closes at once must not be asked again at full speed.
    this.#attempts = 0;
    const frame: Incoming = JSON.parse(text);
    if (frame.topic !== undefined) return this.#deliver(frame);
    const id = frame.error ? frame.id : (frame.ack ?? frame.pong);
    const request = this.#requests.get(id as number);
    this.#requests.delete(id as number);
    const waiter = request ?? this.#finish(id as number);
    if (!frame.error) {
      waiter?.resolve(frame);
    } else {
      const { code, reason, field } = frame.error;
      if (waiter) waiter.reject(new TrefoilError(code, reason, field));
      else this.emit("error", new TrefoilError(code, reason, field));
    }
  }

  #deliver(frame: Incoming): void {
    const message = decodeMessage(frame);
    this.emit("message", message);
    const deliveries = [];
    for (const subscription of this.#subscriptions) {
      if (subscription.takes(message.topic)) deliveries.push(subscription.deliver(message));
    }
    if (frame.id === undefined) return;
    const transport = this.#transport;
    // The id belongs to this connection and means nothing on the next one.
    void Promise.all(deliveries).then(() => {
      if (transport && transport === this.#transport) this.#send({ ack: frame.id });
    });
  }

  #join(subscription: Subscription): void {
    const { filters, options } = subscription;
    const sharing = this.#sharing(subscription);
    const qos = Math.max(...sharing.map((other) => other.options.qos ?? 0));
    const slow_reader = [subscription, ...sharing].find((other) => other.options.slowReader)?.options.slowReader;
    this.#request((id) => ({ sub: filters, qos, id, retained: options.retained, no_local: options.noLocal, slow_reader })).then(
      (answer) => subscription.granted([answer.qos ?? 0].flat() as QoS[]),
      (error: TrefoilError) => {
        // A lost connection refuses nothing: the next one subscribes again.
        if (error.code === "disconnected") return;
        this.#subscriptions.delete(subscription);
        subscription.end(error);
        this.emit("error", error);
      },
    );
  }

  async #leave(subscription: Subscription): Promise<void> {
    this.#subscriptions.delete(subscription);
    const others = this.#sharing(subscription);
    const unsub = subscription.filters.filter((filter) => !others.some((other) => other.filters.includes(filter)));
    if (this.#status !== "open" || !unsub.length) return;
    await this.#request((id) => ({ unsub, id })).catch((error: TrefoilError) => {
      if (error.code !== "disconnected") throw error;
    });
  }

  /** The subscriptions that have a filter in common with this one: at the hub they are one. */
  #sharing(subscription: Subscription): Subscription[] {
    return [...this.#subscriptions].filter((other) => other.filters.some((filter) => subscription.filters.includes(filter)));
  }

  #request(frame: (id: number) => object): Promise<Incoming> {
    return new Promise((resolve, reject) => {
      if (this.#status !== "open") return reject(new TrefoilError("disconnected", "there is no connection"));
      const id = this.#nextId++;
      this.#requests.set(id, { resolve, reject });
      this.#send(frame(id));
    });
  }

  #sendOutgoing(id: number): void {
    const outgoing = this.#outgoing.get(id);
    if (!outgoing) return;
    this.#transport?.send(outgoing.text);
    if (!outgoing.qos) this.#finish(id)?.resolve();
  }

  #finish(id: number): Outgoing | undefined {
    const outgoing = this.#outgoing.get(id);
    if (outgoing && this.#outgoing.delete(id)) this.#outgoingLength -= outgoing.text.length;
    return outgoing;
  }

  #send(frame: object): void {
    this.#transport?.send(JSON.stringify(frame));
  }

  #setStatus(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    this.emit("status", status);
  }

  #report(code: string, message: string, cause: unknown): void {
    this.emit("error", new TrefoilError(code, message, undefined, { cause }));
  }
}

function closed(): TrefoilError {
  return new TrefoilError("closed", "this client is closed");
}
