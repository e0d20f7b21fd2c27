/**
 * The client without a transport of its own, for pages that count bytes: give it what it is to use, and the others are
 * not loaded.
 */
export { Client } from "./client.js";
export type { ClientEvents, ClientOptions, Credentials, Status } from "./client.js";
export type { Emitter } from "./events.js";
export type { Subscription, SubscribeOptions, SubscriptionEvents, PresenceEvent, SlowReader, Handler } from "./subscription.js";
export type { Gap, Place, Since } from "./places.js";
export { TrefoilError } from "./wire.js";
export type { Answer, ClientErrorCode, ErrorCode, Hello, Message, Payload, PresenceList, Present } from "./wire.js";
export type { Properties, PublishOptions, QoS, RequestOptions } from "./wire.js";
export { matches } from "./filter.js";
export { webSocket } from "./transport.js";
export { eventStream, polling } from "./channel.js";
export type { Connect, Frame, Transport, TransportEvents, WebSocketLike } from "./transport.js";
