/** One frame: JSON text, or the bytes of a binary frame. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** An open or opening way to the hub. */
export interface Transport {
  /** Sends one frame. Only called between `open` and `close`. */
  send(frame: Frame): void;
  /** Ends it; what `send` has taken may still go out. No event may follow. */
  close(): void;
  /** Bytes taken by `send` and not yet given to the network. */
  readonly bufferedAmount: number;
  /** Whether `send` takes bytes. Default: false. */
  readonly binary?: boolean;
  /** Whether `send` joins frames by itself, so that the client need not. Default: false. */
  readonly joins?: boolean;
}

/** What a transport tells the client. */
export interface TransportEvents {
  open(): void;
  /** A frame has come: JSON text, bytes, or what was read from JSON, an object or an array of them. */
  frame(frame: string | ArrayBuffer | Uint8Array | object): void;
  /** The last event: the connection ended, or never came about. */
  close(code: number, reason: string): void;
}

/**
 * Opens a transport to `ws://HOST:PORT/ws`. A thrown error is final: the client reports it to whoever constructed it.
 * A transport that `joins` has to ask `first` for what it sends as it opens, if that is something.
 */
export type Connect = (url: string, events: TransportEvents, first?: () => string | undefined) => Transport;

/** The part of the browser's WebSocket that is used here; the `ws` package has it too. */
export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  binaryType: string;
  readonly bufferedAmount: number;
  send(frame: any): void;
  close(): void;
}

/** The transport over a WebSocket class, by default the one of the browser (or of Node 22 and later). */
export function webSocket(Class?: new (url: string) => WebSocketLike): Connect {
  return (url, events) => {
    const socket: WebSocketLike = new (Class ?? WebSocket)(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => events.open();
    socket.onmessage = ({ data }) => events.frame(data);
    socket.onclose = ({ code, reason }) => events.close(code, reason);
    // The close event that follows says all there is to know; without a handler some classes throw.
    socket.onerror = () => {};
    return {
      binary: true,
      send: (frame) => socket.send(frame),
      close() {
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      },
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
    };
  };
}
