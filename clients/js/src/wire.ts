/** 0: at most once. 1: at least once, acknowledged. */
export type QoS = 0 | 1;

/**
 * What can be published. A string goes out as its UTF-8 text, bytes as they are, `undefined` as an empty payload
 * (which clears a retained message), anything else as its JSON text.
 */
export type Payload = unknown;

/** How to publish. */
export interface PublishOptions {
  /** 0 (the default): the promise resolves once the message is sent. 1: once the hub has accepted it. */
  qos?: QoS;
  /** The hub keeps the message for those who subscribe later. */
  retain?: boolean;
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

/** A message as it arrives. */
export interface Message<Data = any> extends PublishOptions {
  topic: string;
  /**
   * The payload: the parsed value if it is JSON, a string if it is other text, a `Uint8Array` if it is neither.
   * So text that happens to be JSON, such as `12`, arrives as the number.
   */
  data: Data;
  qos: QoS;
  /** Whether it was kept by the hub before the subscription was made. */
  retain: boolean;
  /** Whether the hub may have sent it before. */
  dup: boolean;
}

/** An error that the hub answered or that the client found itself. */
export class TrefoilError extends Error {
  override readonly name = "TrefoilError";

  constructor(
    /** From the hub: `bad_field`, `bad_topic`, `not_authorized`, `quota`… From the client: `closed`, `queue_full`, `disconnected`, `handler_failed`. */
    readonly code: string,
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
  ack?: number;
  pong?: unknown;
  error?: { code: string; reason: string; field?: string };
}

/** The frame that publishes. Members that are `undefined` are left out by JSON itself. */
export function encodePublish(topic: string, payload: Payload, options: PublishOptions, id: number | undefined): string {
  const bytes = payload instanceof ArrayBuffer ? new Uint8Array(payload) : payload;
  return JSON.stringify({
    pub: topic,
    ...(bytes instanceof Uint8Array ? { data_base64: toBase64(bytes) } : { data: bytes }),
    qos: options.qos,
    id,
    retain: options.retain,
    content_type: options.contentType,
    response_topic: options.responseTopic,
    correlation_base64: options.correlation && toBase64(options.correlation),
    expiry: options.expiry,
    user_properties: options.userProperties,
  });
}

/** The message in a frame that has a topic. */
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
