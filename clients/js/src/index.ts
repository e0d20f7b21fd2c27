/**
 * The client for the Trefoil hub.
 *
 * `Client` keeps one connection to the hub and mends it; `Subscription` is what `subscribe` gives back, an async
 * iterator unless it was given a handler; `Message` is what arrives. The wire format lives in `wire.ts`, the way to
 * the hub in `transport.ts`: another way (server-sent events, say) is another `Connect` function.
 */
export { Client } from "./client.js";
export type { ClientEvents, ClientOptions, Status } from "./client.js";
export type { Subscription, SubscribeOptions, SlowReader, Handler } from "./subscription.js";
export { TrefoilError } from "./wire.js";
export type { Message, Payload, PublishOptions, QoS } from "./wire.js";
export { matches } from "./filter.js";
export { webSocket } from "./transport.js";
export type { Connect, Transport, TransportEvents, WebSocketLike } from "./transport.js";
