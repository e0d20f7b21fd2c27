import type { Place } from "./places.js";

/** 0: at most once. 1: at least once, acknowledged. */
export type QoS = 0 | 1;

/**
 * What can be published. A string goes out as its UTF-8 text, bytes as they are, `undefined` as an empty payload
 * (which clears a retained message), anything else as its JSON text.
 */
export type Payload = unknown;

/** What a message says beside its payload. */
export interface Properties {
  /** The MIME type of the payload. */
  contentType?: string;
  /** Where an answer should go. */
  responseTopic?: string;
  /** What the answer should carry, so that the asker knows what it answers. */
  correlation?: Uint8Array;
  /** Seconds after which the message is of no use. */
  expiry?: number;
  /** Pairs of name and value that travel with the message. A name may come more than once. */
  userProperties?: [string, string][];
}

/** How to publish. */
export interface PublishOptions extends Properties {
  /** 0 (the default): the promise resolves once the message is sent. 1: once the hub has accepted it. */
  qos?: QoS;
  /** The hub keeps the message for those who subscribe later. */
  retain?: boolean;
}

/** How to ask. */
export interface RequestOptions extends Omit<Properties, "responseTopic" | "correlation"> {
  /** For how many seconds the answer is waited for, 1 to 300. Default: 10. */
  timeoutS?: number;
}

/** What answers a request. */
export interface Answer<Data = any> extends Properties {
  /** The payload: the parsed value if it is JSON, a string if it is other text, a `Uint8Array` if it is neither. */
  data: Data;
}

/** A message as it arrives. Its `data` can be text that happens to be JSON, such as `12`: that arrives as the number. */
export interface Message<Data = any> extends Answer<Data>, Partial<Place> {
  /** Where it was published. */
  topic: string;
  /** The QoS at which it came. */
  qos: QoS;
  /** Whether it was kept by the hub before the subscription was made. */
  retain: boolean;
  /** Whether the hub may have sent it before. */
  dup: boolean;
}

/** What the hub says of itself and of this connection; comes if one of the options asked for it. */
export interface Hello {
  /** The version of the protocol. */
  version: number;
  /** The id of this client. */
  client: string;
  /** The name of this connection, as it stands in presence. */
  connection: string;
  /** The bounds of the hub, with their units in their names. */
  limits: { request_bytes_max?: number; [name: string]: unknown };
}

/** A client that is on a topic. */
export interface Present {
  /** Its id. */
  client: string;
  /** Which connection of it. */
  connection: string;
  /** By what it is connected: `mqtt`, `websocket`, `tcp`, `udp`, `mqtt_sn`, `raw`, `sse` or `poll`. */
  kind: string;
  /** Who it is, where the hub knows users. */
  user?: string;
  /** What it said of itself in the option `info`. */
  info?: unknown;
}

/** Who is on a topic. */
export interface PresenceList {
  /** How many are there. */
  count: number;
  /** Who, as far as the hub lists them. */
  clients: Present[];
  /** There are more than `clients`. */
  partial?: boolean;
}

/** The codes of errors that the client finds itself. All other codes are the hub's. */
export type ClientErrorCode = "closed" | "queue_full" | "disconnected" | "handler_failed" | "auth_failed" | "timeout";

/** The codes of errors. Later hubs may have more. */
export type ErrorCode =
  | ClientErrorCode
  | "bad_json" | "bad_field" | "missing_field" | "unknown_field" | "unknown_operation" | "too_large" | "bad_topic"
  | "not_authorized" | "quota" | "overloaded" | "unavailable" | "no_responder"
  | (string & {});

/** An error that the hub answered or that the client found itself. */
export class TrefoilError extends Error {
  override readonly name = "TrefoilError";

  constructor(
    /** What is wrong, for programs. */
    readonly code: ErrorCode,
    message: string,
    /** The field of the request that is wrong, when the hub named one. */
    readonly field?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The hub's answers and messages. Which members are there says what it is. */
export interface Incoming {
  topic?: string;
  data?: unknown;
  data_base64?: string;
  qos?: number | number[];
  id?: number;
  dup?: boolean;
  retain?: boolean;
  content_type?: string;
  response_topic?: string;
  correlation_base64?: string;
  expiry?: number;
  user_properties?: [string, string][];
  epoch?: string;
  offset?: number;
  time?: number;
  gap?: boolean | { topic: string; epoch?: string; offset?: number };
  ack?: number;
  res?: number;
  pong?: unknown;
  hello?: Hello;
  presence?: string;
  join?: string;
  leave?: string;
  count?: number;
  clients?: Present[];
  error?: { code: string; reason: string; field?: string };
}

/** What publishes or asks: the JSON text without bytes, and the bytes, if the payload is some. */
export interface Encoded {
  asText: string;
  asBytes?: Uint8Array | undefined;
}

/** Refuses what is no topic: at QoS 0 the hub has no way to say which message it means. */
export function checkTopic(topic: string): void {
  if (!topic || /[+#\0]/.test(topic)) throw new TrefoilError("bad_topic", "no topic to publish to: " + topic, "pub");
}

/** Encodes a publish, or another request that carries a payload. Members that are `undefined` are left out by JSON itself. */
export function encode(request: object, payload: Payload, options: PublishOptions): Encoded {
  const asBytes = payload instanceof ArrayBuffer || payload instanceof Uint8Array ? new Uint8Array(payload) : undefined;
  const asText = JSON.stringify({
    ...request,
    data: asBytes ? undefined : payload,
    retain: options.retain,
    content_type: options.contentType,
    response_topic: options.responseTopic,
    correlation_base64: options.correlation && toBase64(options.correlation),
    expiry: options.expiry,
    user_properties: options.userProperties,
  });
  return { asText, asBytes };
}

/** How a request with bytes goes into a text frame. */
export function inText({ asText, asBytes }: Encoded): string {
  return asBytes ? `${asText.slice(0, -1)},"data_base64":"${toBase64(asBytes)}"}` : asText;
}

/** The first byte of a binary frame. */
const VERSION = 1;

/** Bytes before the JSON in a binary frame. */
const PREFIX = 3;

/** The request as a binary frame, if it has bytes and its other members leave room for that. */
export function inBytes({ asText, asBytes }: Encoded): Uint8Array<ArrayBuffer> | undefined {
  if (!asBytes) return undefined;
  const header = new TextEncoder().encode(asText);
  if (header.length > 65535) return undefined;
  const frame = new Uint8Array(PREFIX + header.length + asBytes.length);
  frame.set([VERSION, header.length >> 8, header.length]);
  frame.set(header, PREFIX);
  frame.set(asBytes, PREFIX + header.length);
  return frame;
}

/** What a binary frame says. */
export function fromBytes(bytes: ArrayBuffer | Uint8Array): Incoming {
  const frame = new Uint8Array(bytes);
  const end = PREFIX + (frame[1]! << 8) + frame[2]!;
  return { ...JSON.parse(new TextDecoder().decode(frame.subarray(PREFIX, end))), data: frame.slice(end) };
}

/** The message in a frame that has a topic, or the answer in one that has none. */
export function decodeMessage(frame: Incoming): Message {
  const message: Message = {
    topic: frame.topic as string,
    data: frame.data_base64 === undefined ? frame.data : fromBase64(frame.data_base64),
    qos: frame.qos ? 1 : 0,
    retain: !!frame.retain,
    dup: !!frame.dup,
  };
  if (frame.content_type !== undefined) message.contentType = frame.content_type;
  if (frame.response_topic !== undefined) message.responseTopic = frame.response_topic;
  if (frame.correlation_base64 !== undefined) message.correlation = fromBase64(frame.correlation_base64);
  if (frame.expiry !== undefined) message.expiry = frame.expiry;
  if (frame.user_properties) message.userProperties = frame.user_properties;
  if (frame.offset !== undefined) {
    message.epoch = frame.epoch!;
    message.offset = frame.offset;
  }
  return message;
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // In pieces, since a call takes a limited number of arguments.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
