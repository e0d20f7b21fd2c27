/**
 * The client for the Trefoil hub.
 *
 * `Client` keeps one connection to the hub and mends it; `Subscription` is what `subscribe` gives back, an async
 * iterator unless it was given a handler; `Message` is what arrives. The wire format lives in `wire.ts`, the ways to
 * the hub in `transport.ts` and `channel.ts`: another way is another `Connect` function.
 */
import { eventStream, polling } from "./channel.js";
import { Client as BareClient, type ClientOptions } from "./client.js";
import { webSocket } from "./transport.js";

export * from "./core.js";

/** A connection to the hub that mends itself. It connects as soon as it is constructed. */
export class Client extends BareClient {
  /**
   * @param url `ws://HOST:PORT/ws`, or just `http://HOST:PORT`; in a page, by default, the host it came from.
   */
  constructor(url: string | URL = globalThis.location?.origin, options: ClientOptions = {}) {
    super(url, { transport: [webSocket(), eventStream(), polling()], ...options });
  }
}
