import { BATCH_CHARS_MAX, BATCH_MAX, takeBatch } from "./batch.js";
import { Emitter } from "./events.js";
import type { Gap } from "./places.js";
import { Subscription, type Handler, type SubscribeOptions } from "./subscription.js";
import type { Connect, Frame, Transport } from "./transport.js";
import { TrefoilError, checkTopic, decodeMessage, encode, fromBytes, inBytes, inText } from "./wire.js";
import type { Answer, Encoded, Hello, Incoming, Message, Payload, PresenceList, PublishOptions, RequestOptions } from "./wire.js";

/** `connecting` before each attempt has an outcome, `waiting` between attempts, `closed` after `close()` or a final refusal. */
export type Status = "connecting" | "open" | "waiting" | "closed";

/** Who the client is. */
export interface Credentials {
  /** The name of the user. */
  user: string;
  /** The password, or the token that stands for it. */
  password: string;
}

/** How the client behaves. Every time is in milliseconds. */
export interface ClientOptions {
  /**
   * The way to the hub, or several, the best first: when one fails the next is tried, and when that is not the first, the
   * first is tried again from time to time. Default: a WebSocket, server-sent events, long polling.
   */
  transport?: Connect | readonly Connect[];
  /**
   * Who the client is; a refusal is final. A function is asked for each connection, each `authRefreshMs`, and when the hub
   * says `not_authorized`, after which the refused request is sent once more.
   */
  auth?: Credentials | (() => Credentials | Promise<Credentials>);
  /** How long credentials are good for. Default: for as long as the connection. */
  authRefreshMs?: number;
  /** The id of this client; another connection with this id is ended. Default: the hub chooses one. */
  clientId?: string;
  /** What presence shows of this client beside its id, at most 1,024 bytes of JSON. */
  info?: unknown;
  /** Whether several requests and several messages may share a frame. Default: false. */
  batch?: boolean;
  /** Whether bytes travel in binary frames, where the transport has them, and not as base64. Default: false. */
  binary?: boolean;
  /** How many publishes and requests may wait for a connection or an acknowledgement. Default: 1000. */
  queueMax?: number;
  /** How many characters of them, with what the socket has not yet sent. Default: 4 Mi. */
  queueBytesMax?: number;
  /** The first wait before a new attempt; it doubles with each. Default: 250. */
  backoffMs?: number;
  /** The longest wait before a new attempt. Default: 15 000. */
  backoffMaxMs?: number;
  /** How long an attempt may take until it stands and the hub has said something. Default: 10 000. */
  connectTimeoutMs?: number;
  /** Silence after which a ping is sent; as much again without an answer ends the connection. Default: 20 000. */
  pingIntervalMs?: number;
  /** How long another transport than the first is used before the first is tried again. Default: 60 000. */
  upgradeIntervalMs?: number;
}

/** What `on` can listen to. */
export interface ClientEvents {
  status: Status;
  /** A connection stands, and the subscriptions are on their way. */
  open: { reconnected: boolean };
  /** What the hub says of itself and of the connection, if `clientId`, `info`, `batch` or `binary` is given. */
  hello: Hello;
  /** A connection ended or an attempt failed. `retryMs` says when the next one starts, if one does. */
  close: { code: number; reason: string; retryMs?: number };
  /** Each message, before the handlers of the subscriptions see it. */
  message: Message;
  /** Something is missing that a subscription should have got; the subscription has the same event. */
  gap: Gap;
  /** What nobody awaits: a refused subscription, a handler that threw, an error of the hub about no known request. */
  error: TrefoilError;
}

/** When a request is done with. */
const SENT = 0; // A publish at QoS 0: once it is on its way.
const ACKNOWLEDGED = 1; // A publish at QoS 1: once it is answered, also on a later connection.
const ANSWERED = 2; // Any other: once it is answered, or the connection has ended.

interface Request extends Encoded {
  done: typeof SENT | typeof ACKNOWLEDGED | typeof ANSWERED;
  /** It is not sent once more when the hub says `not_authorized`. */
  isLast?: boolean;
  resolve(answer: Incoming): void;
  reject(error: TrefoilError): void;
}

/** After so many failures in a row of a transport that has worked, another one is tried. */
const FAILURES_MAX = 3;

/** A client that the hub shows the door waits as long as after so many failures: 16 s, or what is the longest. */
const DOOR_ATTEMPTS = 6;

/**
 * A connection to the hub that mends itself. It connects as soon as it is constructed. In `trefoil/core` it has no
 * transport of its own, so that a page loads only what it gives to it.
 */
export class Client extends Emitter<ClientEvents> {
  /** Where the hub is. */
  readonly url: string;
  readonly #options: ClientOptions;
  readonly #ways: readonly Connect[];
  #way = 0;
  /** The way has carried something. */
  #isProven = false;
  #failures = 0;
  #status: Status = "connecting";
  #transport: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #upgradeTimer: ReturnType<typeof setInterval> | undefined;
  #probe: Transport | undefined;
  #authTimer: ReturnType<typeof setInterval> | undefined;
  #auth: Promise<unknown> | undefined;
  #attempts = 0;
  #reconnected = false;
  #nextId = 1;
  /** Something arrived since the last look: the connection lives. */
  #heard = false;
  /** Something arrived on this connection. */
  #answered = false;
  #pinged = false;
  /** In the order of publishing. Not yet sent, or `ACKNOWLEDGED` and not yet that. */
  readonly #outgoing = new Map<number, Request>();
  #outgoingLength = 0;
  /** Asked on this connection and not yet answered. */
  readonly #requests = new Map<number, Request>();
  readonly #subscriptions = new Set<Subscription>();
  /** How many characters go in one frame; 0: each request has its own. */
  #batchCharsMax = 0;
  #batch: string[] = [];
  #binary = false;

  /**
   * @param url `ws://HOST:PORT/ws`, or just `http://HOST:PORT`.
   */
  constructor(url: string | URL, options: ClientOptions & Required<Pick<ClientOptions, "transport">>) {
    super();
    const parsed = new URL(url);
    parsed.protocol = parsed.protocol.replace("http", "ws");
    if (parsed.pathname === "/") parsed.pathname = "/ws";
    this.url = parsed.href;
    this.#options = options;
    this.#ways = [options.transport].flat();
    this.#connect();
    globalThis.addEventListener?.("online", this.#online);
  }

  /** How the connection is. */
  get status(): Status {
    return this.#status;
  }

  /**
   * Publishes a message. Without a connection it waits in a queue; when that is full, the promise rejects at once
   * with `queue_full`, and for a topic that cannot be one with `bad_topic`. At QoS 1 it is sent again until acknowledged.
   */
  async publish(topic: string, payload?: Payload, options: PublishOptions = {}): Promise<void> {
    checkTopic(topic);
    const [id, qos] = [this.#nextId++, options.qos];
    await this.#queue(id, encode({ pub: topic, qos, id: qos ? id : undefined }, payload, options), qos ? ACKNOWLEDGED : SENT);
  }

  /**
   * Asks whoever has subscribed to a topic for an answer. Rejects with `no_responder` if nobody has, with `timeout` if
   * none comes in time, and with `disconnected` if the connection ends first: whether it was carried out is not known then.
   */
  async request<Data = any>(topic: string, payload?: Payload, options: RequestOptions = {}): Promise<Answer<Data>> {
    const id = this.#nextId++;
    const { timeoutS: timeout_s = 10 } = options;
    const asked = this.#queue(id, encode({ req: topic, timeout_s, id }, payload, options), ANSWERED);
    // The hub keeps the time; a second later, whatever has become of it, is time enough.
    const fail = () => this.#finish(id)?.reject(new TrefoilError("timeout", "no answer in time"));
    const timer = setTimeout(fail, (timeout_s + 1) * 1000);
    try {
      const { topic: _, qos, retain, dup, ...answer } = decodeMessage(await asked);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Answers the requests that come to a topic: what `handler` returns, or its promise resolves to, is the answer. When it
   * throws there is none, and the `error` event tells of it. With `$share/GROUP/…` each request goes to one of the group.
   */
  respond(filters: string | readonly string[], handler: Handler, options?: SubscribeOptions): Subscription {
    const answer = async (message: Message) => {
      const { responseTopic, correlation } = message;
      const payload = await handler(message);
      if (responseTopic) await this.publish(responseTopic, payload, correlation && { correlation });
    };
    return this.subscribe(filters, answer, { retained: false, ...options });
  }

  /** Who is on a topic now: clients of any kind that have subscribed to exactly this topic. */
  async presence(topic: string): Promise<PresenceList> {
    const id = this.#nextId++;
    const { count, clients, partial } = (await this.#queue(id, { asText: JSON.stringify({ presence: topic, id }) }, ANSWERED)) as PresenceList;
    return { count, clients, ...(partial && { partial }) };
  }

  /** Subscribes; the result is an async iterator over the messages. */
  subscribe<Data = any>(filters: string | readonly string[], options?: SubscribeOptions): Subscription<Data>;
  /** Subscribes; `handler` is called with each message. */
  subscribe<Data = any>(filters: string | readonly string[], handler: Handler<Data>, options?: SubscribeOptions): Subscription<Data>;
  subscribe(
    filters: string | readonly string[],
    handler?: Handler | SubscribeOptions,
    options?: SubscribeOptions,
  ): Subscription {
    const isHandler = typeof handler === "function";
    const subscription = new Subscription(
      { leave: (it) => this.#leave(it), handlerFailed: (cause) => this.#report("handler_failed", cause) },
      [filters].flat() as string[],
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

  /** Asks the hub for an answer; resolves with the milliseconds that it took. Rejects if there is no connection. */
  async ping(): Promise<number> {
    const start = performance.now();
    await this.#ask((ping) => ({ ping }));
    return performance.now() - start;
  }

  /** Ends the connection and all subscriptions. What waits to be published is rejected. */
  close(): void {
    this.#end("this client is closed");
  }

  #end(reason: string, error?: TrefoilError): void {
    if (this.#status === "closed") return;
    globalThis.removeEventListener?.("online", this.#online);
    this.#drop(1000, reason, false);
    for (const subscription of this.#subscriptions) subscription.end(error);
    this.#subscriptions.clear();
    for (const id of [...this.#outgoing.keys()]) this.#finish(id)!.reject(error ?? closed());
  }

  #connect(): void {
    this.#setStatus("connecting");
    this.#timer = setTimeout(
      () => this.#drop(1006, "no answer in time"),
      this.#options.connectTimeoutMs ?? 10_000,
    );
    this.#transport = this.#ways[this.#way]!(this.url, {
      open: () => void this.#opened(),
      frame: (frame) => this.#received(frame),
      close: (code, reason) => {
        // Who is shown the door would only be shown it again, as with another client of the same id.
        if (code === 1008) this.#attempts = DOOR_ATTEMPTS;
        this.#drop(code, reason);
      },
    }, () => {
      let text: string | undefined;
      this.#hello(undefined, (request) => (text = request.asText));
      return text;
    });
  }

  async #opened(): Promise<void> {
    const { auth, authRefreshMs } = this.#options;
    const transport = this.#transport!;
    const isOver = () => transport !== this.#transport;
    if (auth) {
      try {
        await this.#authenticate();
        if (isOver()) return;
      } catch (error) {
        if (isOver()) return;
        const { message } = this.#report("auth_failed", error);
        // The same words would be refused again.
        return typeof auth === "function" ? this.#drop(1008, message) : this.#end(message, error as TrefoilError);
      }
      if (authRefreshMs) {
        this.#authTimer = setInterval(
          () => this.#authenticate().catch((error) => isOver() || this.#report("auth_failed", error)),
          authRefreshMs,
        );
      }
    }
    this.#setStatus("open");
    // Listeners may have closed it.
    if (isOver()) return;
    if (this.#way) this.#upgradeTimer = setInterval(() => this.#tryFirst(), this.#options.upgradeIntervalMs ?? 60_000);
    // Where frames are joined it went first.
    if (!transport.joins) this.#hello(transport, this.#transmit);
    for (const subscription of this.#subscriptions) this.#join(subscription);
    for (const id of [...this.#outgoing.keys()]) this.#sendOutgoing(id);
    // A proxy may let a connection come about and nothing through, so that something has to be answered.
    if (this.#ways[1] && !this.#isProven) this.ping().catch(() => {});
    else this.#watch();
    this.emit("open", { reconnected: this.#reconnected });
    this.#reconnected = true;
  }

  /** Says what this client wants to be and to get, if it wants something. */
  #hello(transport: Transport | undefined, transmit: (request: Request) => void): void {
    const { clientId: client, info, batch, binary: wantsBinary } = this.#options;
    if ((client ?? info ?? batch ?? wantsBinary) === undefined) return;
    const binary = wantsBinary && transport?.binary;
    this.#ask((id) => ({ hello: { client, info, batch, binary }, id }), true, transmit).then(({ hello }) => {
      // Only now: an earlier hub takes neither.
      const { request_bytes_max = Infinity } = hello!.limits;
      // A character takes up to three bytes.
      if (batch && transport) this.#batchCharsMax = Math.min(BATCH_CHARS_MAX, request_bytes_max / 3);
      this.#binary = !!binary;
      this.emit("hello", hello!);
    }, this.#complain);
  }

  /** Notices a connection that is dead without having said so. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#heard) this.#pinged = false;
      else if (this.#pinged) return this.#drop(1006, "the hub is silent");
      else {
        this.#pinged = true;
        this.ping().catch(() => {});
      }
      this.#heard = false;
      this.#watch();
    }, this.#options.pingIntervalMs ?? 20_000);
  }

  /** Looks whether the first transport works, while another one does. */
  #tryFirst(): void {
    this.#probe?.close();
    const probe = (this.#probe = this.#ways[0]!(this.url, {
      // Whatever the answer is, also a refusal, it came through.
      open: () => probe.send('{"ping":0}'),
      frame: () => {
        probe.close();
        // What is asked would be lost with the connection.
        if (probe !== this.#probe || this.#requests.size) return;
        this.#way = 0;
        this.#drop(1000, "a better way", true, 0);
      },
      close() {},
    }));
  }

  /** Leaves the connection, whatever its state, and plans the next one unless it is for good. */
  #drop(code: number, reason: string, retry = true, retryMs?: number): void {
    clearTimeout(this.#timer);
    clearInterval(this.#upgradeTimer);
    clearInterval(this.#authTimer);
    this.#flush();
    this.#transport?.close();
    this.#probe?.close();
    this.#transport = this.#probe = this.#auth = undefined;
    const event: ClientEvents["close"] = { code, reason };
    if (retry) {
      let power = this.#attempts;
      if (!this.#answered && this.#ways[1] && (!this.#isProven || ++this.#failures >= FAILURES_MAX)) {
        this.#way = (this.#way + 1) % this.#ways.length;
        this.#isProven = false;
      }
      // Another way is tried without delay, all of them again after a longer one.
      if (this.#way && !this.#isProven) power = 0;
      else this.#attempts++;
      const { backoffMs = 250, backoffMaxMs = 15_000 } = this.#options;
      // Half of the wait is random, so that the clients of a hub that restarts do not come back all at once.
      event.retryMs = retryMs ?? Math.min(backoffMaxMs, backoffMs * 2 ** power) * (0.5 + Math.random() / 2);
      this.#timer = setTimeout(() => this.#connect(), event.retryMs);
    }
    this.#heard = this.#answered = this.#pinged = this.#binary = false;
    this.#batchCharsMax = 0;
    this.#setStatus(retry ? "waiting" : "closed");
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(new TrefoilError("disconnected", "the connection ended"));
    this.emit("close", event);
  }

  /** The network is back: no reason to sit out the wait. */
  readonly #online = (): void => {
    if (this.#status !== "waiting") return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #received(data: string | ArrayBuffer | Uint8Array | object): void {
    this.#heard = true;
    if (!this.#answered) {
      this.#answered = this.#isProven = true;
      // Only now: a hub that accepts and closes at once must not be asked again at full speed.
      this.#attempts = this.#failures = 0;
      if (this.#status === "open") this.#watch();
    }
    const frame =
      typeof data === "string" ? JSON.parse(data)
      : data instanceof ArrayBuffer || data instanceof Uint8Array ? fromBytes(data)
      : data;
    for (const one of [frame].flat()) this.#take(one);
  }

  #take(frame: Incoming): void {
    const { ack, gap, error } = frame;
    if (frame.topic !== undefined) return this.#deliver(frame);
    if (typeof gap === "object") {
      for (const subscription of this.#subscriptions) {
        if (!subscription.takes(gap.topic)) continue;
        const event = { ...gap, filters: subscription.filters };
        subscription.missed(event);
        this.emit("gap", event);
      }
      return;
    }
    const topic = frame.join ?? frame.leave ?? frame.presence;
    if (topic !== undefined && ack === undefined) {
      for (const subscription of this.#subscriptions) {
        if (subscription.options.presence && subscription.filters[0] === topic) subscription.present(frame, topic);
      }
      return;
    }
    let id = (error ? frame.id : (ack ?? frame.res ?? frame.pong)) as number;
    if (!error) return this.#finish(id)?.resolve(frame);
    const refused = new TrefoilError(error.code, error.reason, error.field);
    // The hub has not read it and does not know its id. Sent again it would end each new connection as well.
    if (error.code === "too_large") id ??= [...this.#outgoing].sort((a, b) => lengthOf(b[1]) - lengthOf(a[1]))[0]?.[0]!;
    const request = this.#requests.get(id) ?? this.#outgoing.get(id);
    if (request && !request.isLast && error.code === "not_authorized" && typeof this.#options.auth === "function") {
      request.isLast = true;
      const transport = this.#transport;
      this.#authenticate().then(
        () => transport === this.#transport && this.#transmit(request),
        () => this.#finish(id)?.reject(refused),
      );
    } else if (request) {
      this.#finish(id)!.reject(refused);
    } else {
      this.emit("error", refused);
    }
  }

  #deliver(frame: Incoming): void {
    const message = decodeMessage(frame);
    const takers = [...this.#subscriptions].filter((subscription) => subscription.takes(message.topic));
    const fresh = takers.filter((subscription) => subscription.isNew(message));
    if (fresh.length || !takers.length) this.emit("message", message);
    const deliveries = fresh.map((subscription) => subscription.deliver(message));
    if (frame.id === undefined) return;
    const transport = this.#transport;
    // The id belongs to this connection and means nothing on the next one.
    void Promise.all(deliveries).then(() => {
      if (transport && transport === this.#transport) this.#send(JSON.stringify({ ack: frame.id }));
    });
  }

  #join(subscription: Subscription): void {
    const { filters, options, since } = subscription;
    const { retained, noLocal: no_local, presence } = options;
    const sharing = this.#sharing(subscription);
    const qos = Math.max(...sharing.map((other) => other.options.qos ?? 0));
    const slow_reader = [subscription, ...sharing].find((other) => other.options.slowReader)?.options.slowReader;
    // Before the first answer nothing is promised, so that it is asked for as at first; what comes twice is passed over.
    const history = since?.time || options.since ? undefined : options.history;
    this.#ask((id) => ({ sub: filters, qos, id, retained, no_local, slow_reader, history, since: history ? undefined : since, presence })).then(
      (answer) => {
        subscription.granted(answer);
        if (answer.gap) this.emit("gap", { filters });
      },
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
    await this.#ask((id) => ({ unsub, id })).catch((error: TrefoilError) => {
      if (error.code !== "disconnected") throw error;
    });
  }

  /** The subscriptions that have a filter in common with this one: at the hub they are one. */
  #sharing(subscription: Subscription): Subscription[] {
    return [...this.#subscriptions].filter((other) => other.filters.some((filter) => subscription.filters.includes(filter)));
  }

  /** Says who the client is; whoever wants that while it is being done waits for the same answer. */
  #authenticate(): Promise<unknown> {
    const { auth } = this.#options;
    const transport = this.#transport;
    const authenticate = async () => {
      const { user, password } = typeof auth === "function" ? await auth() : auth!;
      if (transport === this.#transport) await this.#ask((id) => ({ auth: { user, password }, id }), true);
      if (transport === this.#transport) this.#auth = undefined;
    };
    return (this.#auth ??= authenticate().catch((error) => {
      if (transport === this.#transport) this.#auth = undefined;
      throw error;
    }));
  }

  /** Asks at once, on this connection; what belongs to its opening is asked for once only. */
  #ask(frame: (id: number) => object, isLast = false, transmit = this.#transmit): Promise<Incoming> {
    return new Promise((resolve, reject) => {
      if (this.#status !== "open" && !isLast) return reject(new TrefoilError("disconnected", "the connection ended"));
      const id = this.#nextId++;
      const request: Request = { asText: JSON.stringify(frame(id)), done: ANSWERED, isLast, resolve, reject };
      this.#requests.set(id, request);
      transmit(request);
    });
  }

  /** Asks as soon as there is a connection. */
  #queue(id: number, encoded: Encoded, done: Request["done"]): Promise<Incoming> {
    return new Promise((resolve, reject) => {
      const length = lengthOf(encoded);
      const waiting = this.#outgoingLength + (this.#transport?.bufferedAmount ?? 0);
      if (this.#status === "closed") {
        reject(closed());
      } else if (
        this.#outgoing.size >= (this.#options.queueMax ?? 1000) ||
        waiting + length > (this.#options.queueBytesMax ?? 4 << 20)
      ) {
        reject(new TrefoilError("queue_full", "too much waits"));
      } else {
        this.#outgoing.set(id, { ...encoded, done, resolve, reject });
        this.#outgoingLength += length;
        if (this.#status === "open") this.#sendOutgoing(id);
      }
    });
  }

  #sendOutgoing(id: number): void {
    const request = this.#outgoing.get(id);
    if (!request) return;
    this.#transmit(request);
    if (request.done !== ACKNOWLEDGED) this.#finish(id);
    if (request.done === SENT) request.resolve({});
    if (request.done === ANSWERED) this.#requests.set(id, request);
  }

  #finish(id: number): Request | undefined {
    const request = this.#requests.get(id) ?? this.#outgoing.get(id);
    this.#requests.delete(id);
    if (this.#outgoing.delete(id)) this.#outgoingLength -= lengthOf(request!);
    return request;
  }

  readonly #transmit = (request: Request): void => this.#send((this.#binary && inBytes(request)) || inText(request));

  #send(frame: Frame): void {
    if (this.#batchCharsMax && typeof frame === "string") {
      const count = this.#batch.push(frame);
      if (count === 1) queueMicrotask(() => this.#flush());
      if (count < BATCH_MAX) return;
      return this.#flush();
    }
    this.#flush();
    this.#transport?.send(frame);
  }

  #flush(): void {
    while (this.#batch.length) this.#transport?.send(takeBatch(this.#batch, this.#batchCharsMax));
  }

  #setStatus(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    this.emit("status", status);
  }

  readonly #complain = (error: TrefoilError): void => {
    if (error.code !== "disconnected") this.emit("error", error);
  };

  #report(code: "handler_failed" | "auth_failed", cause: unknown): TrefoilError {
    const error = cause instanceof TrefoilError ? cause : new TrefoilError(code, String(cause), undefined, { cause });
    this.emit("error", error);
    return error;
  }
}

function lengthOf({ asText, asBytes }: Encoded): number {
  return asText.length + (asBytes ? asBytes.length : 0);
}

function closed(): TrefoilError {
  return new TrefoilError("closed", "this client is closed");
}
