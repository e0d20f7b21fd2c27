/** An open or opening way to the hub that carries text frames. */
export interface Transport {
  /** Sends one frame. Only called between `open` and `close`. */
  send(text: string): void;
  /** Ends it. No event may follow. */
  close(): void;
  /** Bytes taken by `send` and not yet given to the network. */
  readonly bufferedAmount: number;
}

/** What a transport tells the client. */
export interface TransportEvents {
  open(): void;
  text(text: string): void;
  /** The last event: the connection ended, or never came about. */
  close(code: number, reason: string): void;
}

/** Opens a transport. A thrown error is final: the client reports it to whoever constructed it. */
export type Connect = (url: string, events: TransportEvents) => Transport;

/** The part of the browser's WebSocket that is used here; the `ws` package has it too. */
export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(): void;
}

/** The transport over a WebSocket class, by default the one of the browser (or of Node 22 and later). */
export function webSocket(Class?: new (url: string) => WebSocketLike): Connect {
  return (url, events) => {
    const Socket = Class ?? globalThis.WebSocket;
    const socket: WebSocketLike = new Socket(url);
    socket.onopen = () => events.open();
    socket.onmessage = ({ data }) => events.text(data);
    socket.onclose = ({ code, reason }) => events.close(code, reason);
    // The close event that follows says all there is to know; without a handler some classes throw.
    socket.onerror = () => {};
    return {
      send: (text) => socket.send(text),
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
