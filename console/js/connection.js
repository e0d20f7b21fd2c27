// One WebSocket to the hub's JSON protocol that mends itself and subscribes again.

const BACKOFF_MS = 300;
const BACKOFF_MS_MAX = 5_000;

export class Connection {
  #socket;
  #timer;
  #attempts = 0;
  #nextId = 1;
  #answers = new Map();
  #subscriptions = new Map();

  /**
   * `onMessage(message)` takes each message. `onStatus(state, retryMs)` hears "connecting", "open" or "waiting".
   * `skip(text)`, if given, sees each frame before it is parsed; true throws the frame away.
   */
  constructor({ onMessage, onStatus = () => {}, skip = () => false }) {
    this.onMessage = onMessage;
    this.onStatus = onStatus;
    this.skip = skip;
    this.#connect();
    // A page that comes back from sleep, or to a network, need not sit out the wait.
    const now = () => this.#socket === undefined && document.visibilityState === "visible" && this.#connect();
    addEventListener("online", now);
    document.addEventListener("visibilitychange", now);
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Resolves with the hub's answer; rejects with its error, or when the connection ends first. */
  request(frame) {
    return new Promise((resolve, reject) => {
      if (!this.open) return reject(new Error("not connected to the hub"));
      const id = this.#nextId++;
      this.#answers.set(id, { resolve, reject });
      this.#send({ ...frame, id });
    });
  }

  /** Subscribes now and after each reconnect. Without a connection the promise waits for none. */
  async subscribe(filter, options = {}) {
    this.#subscriptions.set(filter, options);
    if (!this.open) return undefined;
    try {
      return await this.request({ sub: filter, ...options });
    } catch (error) {
      if (this.open) this.#subscriptions.delete(filter);
      throw error;
    }
  }

  async unsubscribe(filter) {
    this.#subscriptions.delete(filter);
    if (this.open) await this.request({ unsub: filter });
  }

  #connect() {
    clearTimeout(this.#timer);
    this.onStatus("connecting");
    const url = new URL("ws", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      this.onStatus("open");
      for (const [filter, options] of this.#subscriptions) {
        this.request({ sub: filter, ...options }).catch(() => this.#subscriptions.delete(filter));
      }
    };
    socket.onmessage = ({ data }) => {
      this.#attempts = 0;
      if (!this.skip(data)) this.#take(JSON.parse(data));
    };
    socket.onclose = () => this.#closed();
  }

  #closed() {
    this.#socket = undefined;
    for (const { reject } of this.#answers.values()) reject(new Error("the connection to the hub ended"));
    this.#answers.clear();
    const wait = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** this.#attempts++) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.onStatus("waiting", wait);
  }

  #take(frame) {
    if (frame.topic !== undefined) {
      this.onMessage(frame);
      if (frame.id !== undefined) this.#send({ ack: frame.id });
      return;
    }
    const id = frame.ack ?? frame.id;
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (!frame.error) answer?.resolve(frame);
    else answer?.reject(new Error(frame.error.reason));
  }

  #send(frame) {
    if (this.open) this.#socket.send(JSON.stringify(frame));
  }
}
