// A page's connection to the hub: the JSON protocol over a WebSocket, made again whenever it breaks.

/** The element that says how the connection is, if the page has one. */
const status = document.getElementById("status");

/**
 * Subscribes to `filters` and gives each message to `onMessage({ topic, data, retain, … })`. `onConnected` is called
 * each time the connection stands, before the retained messages come.
 */
export async function connect({ filters, onMessage, onConnected = () => {} }) {
  const { hub } = await (await fetch("configuration.json")).json();
  return new Hub(address(hub), filters, onMessage, onConnected);
}

/** A hub on this machine is, for a page that was loaded from another one, on that other one. */
function address(hub) {
  const url = new URL(hub);
  const here = ["127.0.0.1", "localhost", "[::1]"];
  if (here.includes(url.hostname) && !here.includes(location.hostname)) url.hostname = location.hostname;
  return url;
}

class Hub {
  #socket;
  #waiting = new Map();
  #nextId = 1;

  constructor(url, filters, onMessage, onConnected) {
    this.#open(url, { filters, onMessage, onConnected }, 0);
  }

  /**
   * Publishes at QoS 1 and resolves when the hub has taken it; rejects when it refuses, or when the connection breaks
   * first. `more` may hold `retain`, `expiry`, `response_topic` and `correlation_base64`; without `data` the payload
   * is empty.
   */
  publish(topic, data, more = {}) {
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) return reject(new Error("there is no connection"));
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#send({ pub: topic, data, qos: 1, id, ...more });
    });
  }

  #open(url, page, attempts) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      attempts = 0;
      show("connected");
      page.onConnected();
      this.#send({ sub: page.filters, qos: 1 });
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data), page.onMessage);
    socket.onclose = () => {
      show("reconnecting");
      for (const { reject } of this.#waiting.values()) reject(new Error("the connection broke"));
      this.#waiting.clear();
      const wait = Math.min(5_000, 300 * 2 ** attempts) * (0.5 + Math.random() / 2);
      setTimeout(() => this.#open(url, page, attempts + 1), wait);
    };
  }

  #take(frame, onMessage) {
    if (frame.topic !== undefined) {
      if (frame.id !== undefined) this.#send({ ack: frame.id });
      onMessage(frame);
    } else if (frame.error) {
      console.error(frame.error.reason);
      this.#settle(frame.id)?.reject(new Error(frame.error.reason));
    } else if (frame.ack !== undefined) {
      this.#settle(frame.ack)?.resolve();
    }
  }

  #settle(id) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #send(request) {
    this.#socket.send(JSON.stringify(request));
  }
}

function show(state) {
  if (!status) return;
  status.dataset.state = state;
  status.textContent = state;
}
