// The JSON protocol over plain HTTP requests, as the hub has it on /channel.

/** How long a request for what comes waits. */
const POLL_MS = 500;

export class Channels {
  #hub;
  #channels = new Map();
  #next = 1;
  /** Requests by kind. */
  counts = { open: 0, send: 0, poll: 0, stream: 0, close: 0 };
  /** How many answers get lost on the way, from now on. */
  lose = 0;
  /** Whether streams open and nothing comes through, as behind a proxy that collects. */
  collects = false;

  constructor(hub) {
    this.#hub = hub;
  }

  stop() {
    for (const channel of this.#channels.values()) this.#end(channel);
  }

  async serve(request, response) {
    const url = new URL(request.url, "http://hub");
    const [, , token, verb] = url.pathname.split("/");
    let body = "";
    for await (const part of request) body += part;
    if (!token) return this.#open(response, body);
    const channel = this.#channels.get(token);
    if (!channel) return response.writeHead(410).end();
    if (request.method === "GET") {
      const streams = request.headers.accept === "text/event-stream";
      this.#listen(channel, request, response, Number(request.headers["last-event-id"] ?? url.searchParams.get("after")), streams);
    } else if (verb === "close") {
      this.counts.close++;
      response.writeHead(204).end();
      this.#end(channel);
    } else {
      this.counts.send++;
      this.#hub.raw.push(body);
      response.writeHead(204).end();
      const requests = [JSON.parse(body)].flat();
      // As the real hub, whose channels belong to their client from the beginning.
      if (requests.some((request) => request.hello)) {
        return channel.client.send({ error: { code: "bad_field", field: "client", reason: "say hello with POST /channel" } });
      }
      this.#hub.receive(channel.client, JSON.parse(body));
    }
  }

  #open(response, body) {
    this.counts.open++;
    const token = `token-${this.#next++}`;
    const channel = { token, kept: [], first: 0, taker: undefined };
    channel.client = this.#hub.join("poll", {
      cut: () => this.#end(channel),
      send: (frame) => {
        channel.kept.push(frame);
        channel.taker?.(false);
      },
    });
    this.#channels.set(token, channel);
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ channel: token, poll_s: POLL_MS / 1000, expires_s: 60 }));
    if (body) this.#hub.receive(channel.client, JSON.parse(body));
  }

  #end(channel) {
    this.#channels.delete(channel.token);
    this.#hub.leave(channel.client);
    channel.socket?.destroy();
  }

  #listen(channel, request, response, after, streams) {
    this.counts[streams ? "stream" : "poll"]++;
    channel.client.kind = streams ? "sse" : "poll";
    channel.kept.splice(0, after - channel.first);
    channel.first = after;
    channel.socket = request.socket;
    if (streams) response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
    let written = 0;
    const give = (late) => {
      const objects = channel.kept.slice(written);
      if (!objects.length && !late) return;
      if (this.lose > 0 && objects.length) {
        this.lose--;
        channel.taker = undefined;
        return request.socket.destroy();
      }
      if (streams) {
        if (!this.collects) for (const object of objects) response.write(`id: ${after + ++written}\ndata: ${JSON.stringify(object)}\n\n`);
        return;
      }
      channel.taker = undefined;
      clearTimeout(timer);
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ next: after + objects.length, objects }));
    };
    const timer = streams ? undefined : setTimeout(() => give(true), POLL_MS);
    channel.taker = give;
    give(false);
  }
}
