import { takeBatch } from "./batch.js";
import type { Connect } from "./transport.js";

/** How often a request that takes what comes may fail in a row before the connection counts as broken. */
const FAILURES_MAX = 3;

/** Milliseconds between them. */
const RETRY_MS = 300;

/** Milliseconds that a request may take which is answered at once. */
const ANSWER_MS = 20_000;

/** The transport for pages behind a proxy that lets no WebSocket through: server-sent events one way, `POST` the other. */
export function eventStream(): Connect {
  return channel(true);
}

/** The transport that needs nothing but plain requests with plain answers: long polling. */
export function polling(): Connect {
  return channel(false);
}

function channel(streams: boolean): Connect {
  return (url, events, first) => {
    const base = new URL("channel", url.replace(/^ws/, "http")).href;
    const comes = new AbortController();
    const waiting: string[] = [];
    let path = "";
    let after = 0;
    let ended = false;
    let posting: Promise<void> | undefined;
    let bufferedAmount = 0;

    const ask = async (to: string, init: RequestInit = {}): Promise<Response> => {
      const response = await fetch(base + to, init);
      if (response.ok) return response;
      // Sent again the request would end the next channel as well.
      if (response.status === 413) events.frame(await response.json());
      // Without a channel there is nothing to try again.
      end(`the hub answered ${response.status}`);
      throw 0;
    };
    const post = (to: string, body = ""): Promise<Response> =>
      ask(to, { method: "POST", body, signal: AbortSignal.timeout(ANSWER_MS) });
    const end = (reason: string): void => {
      if (ended) return;
      leave();
      events.close(1006, reason);
    };
    const leave = (): void => {
      ended = true;
      comes.abort();
      globalThis.removeEventListener?.("pagehide", hide);
      // What was sent before goes first.
      if (path) void flush().then(() => fetch(`${base}${path}/close`, { method: "POST", keepalive: true }).catch(() => {}));
    };
    // A page may be shown again later, and connect anew.
    const hide = (): void => end("the page was left");
    // One request at a time, so that nothing overtakes, with all that was sent meanwhile or in one tick.
    const flush = (): Promise<void> =>
      (posting ??= (async () => {
        await undefined;
        try {
          while (waiting.length) {
            const body = takeBatch(waiting);
            // An answer that nobody has read counts as broken off in some browsers.
            await (await post(path, body)).blob();
            bufferedAmount = waiting.length && bufferedAmount - body.length;
          }
        } catch (error) {
          // Whether it was carried out is not known, so that it cannot be sent again here.
          waiting.length = 0;
          end(`${error}`);
        }
        posting = undefined;
      })());
    const take = async (response: Response): Promise<void> => {
      if (!streams) {
        const { next, objects } = await response.json();
        after = next;
        if (!ended) events.frame(objects);
        return;
      }
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let came = false; ; came = true) {
        const { done, value } = await reader.read();
        // Asking again at once is for streams that were cut, not for a proxy that lets none through.
        if (done && !came) throw "an empty stream";
        if (done || ended) return;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop()!;
        for (const block of blocks) {
          const text = /^data: ?(.*)/m.exec(block);
          after = +(/^id: ?(\d+)/m.exec(block)?.[1] ?? after);
          if (text && !ended) events.frame(text[1]!);
        }
      }
    };
    const run = async (): Promise<void> => {
      path = `/${(await (await post("", first?.())).json()).channel}`;
      // The client may have given up meanwhile.
      if (ended) return leave();
      events.open();
      for (let failures = 0; !ended; ) {
        try {
          await take(
            await ask(`${path}?after=${after}`, {
              cache: "no-store",
              signal: comes.signal,
              ...(streams && { headers: { Accept: "text/event-stream" } }),
            }),
          );
          failures = 0;
        } catch (error) {
          // An answer that was lost on the way comes again, since `after` has not moved.
          if (++failures >= FAILURES_MAX) throw error;
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      }
    };
    run().catch((error) => end(`${error}`));
    globalThis.addEventListener?.("pagehide", hide);
    return {
      joins: true,
      send(frame) {
        waiting.push(frame as string);
        bufferedAmount += frame.length + 1;
        void flush();
      },
      close: leave,
      get bufferedAmount() {
        return bufferedAmount;
      },
    };
  };
}
