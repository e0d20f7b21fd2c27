#!/usr/bin/env python3
"""Compares broadcasts to WebSocket clients with those of Bun's pub/sub (uWebSockets) and of the npm package `ws`.

    cargo build --release -p trefoil
    npm install --prefix FOLDER bun ws
    benches/broadcast.py --load PATH-TO-mqload --hub target/release/trefoil --modules FOLDER/node_modules

One client publishes JSON, 1,000 or 10,000 get it. Saturated and at 40 messages a second the load comes from the yardstick, a load
generator (mqload); it offers no compression, so that where messages are compressed, and where plain ones are compared with
those, this script has the clients itself. Of all that counts the CPU time of the server for each delivery, and the memory of an idle connection with one subscription.
In each round all servers take their turn, and who goes first changes from round to round. The tables have medians, and in
brackets the lowest and the highest ratio of a round.
"""

import argparse
import json
import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

SUBS = 1000
WINDOW = 64
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

BUN = """
const server = Bun.serve({
  port: 0, hostname: "127.0.0.1",
  fetch: (request, server) => server.upgrade(request) ? undefined : new Response("no WebSocket"),
  websocket: {
    perMessageDeflate: DEFLATE, maxPayloadLength: 1 << 20, backpressureLimit: 64 << 20,
    message(socket, text) {
      const request = JSON.parse(text);
      if (request.sub) {
        socket.subscribe(request.sub);
        socket.send(JSON.stringify({ sub: request.sub }));
      } else server.publish(request.pub, JSON.stringify({ topic: request.pub, data: request.data }), DEFLATE);
    },
  },
});
console.log(server.port);
"""

WS = """
import { WebSocketServer } from "MODULES/ws/wrapper.mjs";
const topics = new Map();
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: DEFLATE && { threshold: 256, serverNoContextTakeover: true } });
server.on("connection", (socket) => {
  const mine = [];
  socket.on("message", (text) => {
    const request = JSON.parse(text);
    if (request.sub) {
      if (!topics.has(request.sub)) topics.set(request.sub, new Set());
      topics.get(request.sub).add(socket);
      mine.push(request.sub);
      socket.send(JSON.stringify({ sub: request.sub }));
    } else {
      const message = JSON.stringify({ topic: request.pub, data: request.data });
      for (const one of topics.get(request.pub) ?? []) one.send(message);
    }
  });
  socket.on("close", () => mine.forEach((topic) => topics.get(topic).delete(socket)));
});
server.on("listening", () => console.log(server.address().port));
"""

HUB = """
[store]
durability = "none"
[[listener]]
bind = "127.0.0.1:0"
protocols = ["http", "websocket"]
[websocket]
compression = DEFLATE
mqtt_compression = DEFLATE
"""


class Server:
    """A server of a kind, in a folder of its own, as long as the block lasts."""

    def __init__(self, options, kind, deflate):
        self.kind = kind
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        text = {"trefoil": HUB, "bun": BUN, "ws": WS}[kind]
        text = text.replace("DEFLATE", "true" if deflate else "false").replace("MODULES", str(options.modules))
        name = "trefoil.toml" if kind == "trefoil" else "server.mjs"
        Path(self.folder.name, name).write_text(text)
        command = {"trefoil": [options.hub, "serve", "--config", name], "bun": [options.modules / ".bin/bun", name],
                   "ws": ["node", name]}[kind]
        self.process = subprocess.Popen(command, cwd=self.folder.name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        for line in self.process.stdout:
            digits = line.split("://127.0.0.1:")[-1].split()[0]
            if digits.isdigit():
                self.port = int(digits)
                break
        else:
            raise SystemExit(f"{kind} does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()
        self.folder.cleanup()

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def rss(self):
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


TEXT = ["text", "--path", "/ws", "--on-connect", '{"sub":"{topic}"}', "--ready", '"sub"',
        "--publish", '{"pub":"{topic}","data":"{payload}"}']
MQTT = ["fanout", "--transport", "ws"]


def yardstick(options, server, arguments, mqtt=False):
    """What the load generator reports. The hub is spoken to in MQTT if it is to be, the others in what they know."""
    speech = MQTT if mqtt and server.kind == "trefoil" else TEXT
    command = [options.load, *speech, "--port", server.port, "--pid", server.process.pid, *arguments]
    out = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                         check=True).stdout
    result = json.loads(out)
    for fault in ("lost", "duplicates", "order_errors", "closed"):
        if result.get(fault):
            print(f"  {fault}: {result[fault]}")
    return result


def frame(data, opcode=1):
    head = bytes([0x80 | opcode, 0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | opcode, 0x80 | 126]) + len(data).to_bytes(2, "big")
    # A mask of zeros is one, too, and costs this side nothing.
    return head + bytes(4) + data


def client(port, deflate, mqtt=False):
    """A connection after its handshake."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    path = "/mqtt" if mqtt else "/ws"
    offer = "Sec-WebSocket-Protocol: mqtt\r\n" if mqtt else ""
    # Without a window that is kept from message to message, as all of the servers do it for many.
    offer += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n" if deflate else ""
    connection.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    agreed = b"permessage-deflate" in head
    assert head.startswith(b"HTTP/1.1 101") and agreed == deflate, head
    return connection


def subscribe(connection, topic, mqtt=False):
    """Subscribes and waits for the answer."""
    if mqtt:
        number = f"{connection.getsockname()[1]}".encode()
        connection.sendall(frame(bytes([0x10, 12 + len(number)]) + b"\0\4MQTT\4\2\0\0" + bytes([0, len(number)]) + number, 2))
        connection.recv(1000)
        connection.sendall(frame(bytes([0x82, 5 + len(topic), 0, 1, 0, len(topic)]) + topic.encode() + b"\0", 2))
    else:
        connection.sendall(frame(json.dumps({"sub": topic}).encode()))
    connection.recv(1000)


class Counter:
    """Counts the messages in what a reader gets."""

    def __init__(self, topic):
        self.topic, self.rest, self.count = topic.encode(), b"", 0

    def take(self, received):
        self.rest += received
        while len(self.rest) >= 2:
            length, at = self.rest[1], 2
            if length >= 126:
                at = 4 if length == 126 else 10
                length = int.from_bytes(self.rest[2:at], "big")
            if len(self.rest) < at + length:
                return
            payload = self.rest[at:at + length]
            if self.rest[0] & 0x40:
                payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
            self.count += payload.count(self.topic)
            self.rest = self.rest[at + length:]


def quotes(number, size):
    """Market data, as JSON of about so many bytes."""
    entries, length = [], 0
    while length < size:
        n = number * 31 + len(entries)
        entries.append({"symbol": f"SYM{n * 7919 % 1000}", "price": n * 104729 % 100000 / 100, "volume": n * 31 % 5000})
        length += 48
    return entries


def broadcast(server, deflate, size, rate, seconds=8, mqtt=False):
    """CPU time of the server for each delivery, in microseconds, and bytes of each.

    At no rate it is a closed loop: as many messages are out as fit into the window, and what has come is read every 10 ms.
    """
    mqtt = mqtt and server.kind == "trefoil"
    readers = [client(server.port, deflate, mqtt) for _ in range(SUBS)]
    poll, by_number, got = select.epoll(), {}, {}
    for reader in readers:
        subscribe(reader, "quotes", mqtt)
        reader.setblocking(False)
        poll.register(reader, select.EPOLLIN)
        by_number[reader.fileno()], got[reader.fileno()] = reader, 0
    # Those that are written to first and last, and some between, say how far all are.
    counters = {reader.fileno(): Counter("quotes") for reader in readers[::SUBS // 10] + readers[-1:]}
    publisher = client(server.port, False)
    frames = [frame(json.dumps({"pub": "quotes", "data": quotes(n, size)}, separators=(",", ":")).encode()) for n in range(64)]
    cpu, start, sent, last = server.cpu_s(), time.monotonic(), 0, time.monotonic()
    while True:
        now = time.monotonic()
        if rate:
            due = min(int((now - start) * rate), int(seconds * rate))
        else:
            due = min(counter.count for counter in counters.values()) + WINDOW if now - start < seconds else sent
        out = b"".join(frames[n % len(frames)] for n in range(sent, due))
        publisher.sendall(out)
        sent = max(sent, due)
        if not rate:
            time.sleep(0.01)
        for number, _ in poll.poll(0.005):
            try:
                received = by_number[number].recv(1 << 20)
            except BlockingIOError:
                continue
            got[number] += len(received)
            last = time.monotonic()
            if number in counters:
                counters[number].take(received)
        if time.monotonic() - start > seconds and time.monotonic() - last > 1:
            break
    cpu_us = (server.cpu_s() - cpu) * 1e6
    if any(counter.count != sent for counter in counters.values()):
        print(f"  not all that was sent came: {sent}, {sorted(counter.count for counter in counters.values())}")
    # What leaves for an MQTT client at one time is joined, so that the frames are not the same for all.
    if not mqtt and min(got.values()) != max(got.values()):
        print(f"  not all got the same: {min(got.values())} to {max(got.values())} bytes")
    for one in [*readers, publisher]:
        one.close()
    return cpu_us / (sent * SUBS), max(got.values()) / sent


def idle(server, deflate, count):
    """Memory of the server for each idle connection with one subscription."""
    warm = [client(server.port, deflate) for _ in range(100)]
    for connection in warm:
        subscribe(connection, "idle")
    before, connections = server.rss(), []
    for _ in range(count):
        connection = client(server.port, deflate)
        subscribe(connection, "idle")
        connections.append(connection)
    each = (server.rss() - before) / count
    for connection in [*warm, *connections]:
        connection.close()
    return each


def saturated(options, server, subs=SUBS, mqtt=False):
    arguments = ["--subs", subs, "--linger-us", 10000, "--duration", options.seconds]
    return yardstick(options, server, arguments, mqtt)["broker_cpu_us_per_delivery"]


def steady(options, server, what, subs=SUBS, rate=40, mqtt=False):
    """At a rate: `cpu`, in microseconds a delivery, or a percentile of the latency, in milliseconds."""
    arguments = ["--subs", subs, "--rate", rate, "--duration", options.seconds]
    result = yardstick(options, server, arguments, mqtt)
    return result["broker_cpu_us_per_delivery"] if what == "cpu" else result["latency_us"][what] / 1000


# Name, kinds of servers, whether messages are compressed, and what is measured: a figure, or several.
SCENARIOS = {
    "saturated": ("1→1,000 saturated, µs a delivery", False, saturated),
    "rate": ("1→1,000, 40 messages a second, µs a delivery", False, lambda o, s: steady(o, s, "cpu")),
    "p50": ("the same: p50, ms", False, lambda o, s: steady(o, s, "p50")),
    "p99": ("the same: p99, ms", False, lambda o, s: steady(o, s, "p99")),
    "saturated-10k": ("1→10,000 saturated, µs a delivery", False, lambda o, s: saturated(o, s, 10_000)),
    "rate-10k": ("1→10,000, 4 messages a second, µs a delivery", False, lambda o, s: steady(o, s, "cpu", 10_000, 4)),
    "p50-10k": ("the same: p50, ms", False, lambda o, s: steady(o, s, "p50", 10_000, 4)),
    "p99-10k": ("the same: p99, ms", False, lambda o, s: steady(o, s, "p99", 10_000, 4)),
    "mqtt": ("1→1,000 saturated, the hub in MQTT, µs", False, lambda o, s: saturated(o, s, mqtt=True)),
    "mqtt-rate": ("1→1,000, 40 a second, the hub in MQTT, µs", False, lambda o, s: steady(o, s, "cpu", mqtt=True)),
    "plain-1k": ("1→1,000, 1 KiB, 40 a second, plain, µs", False, lambda o, s: broadcast(s, False, 1024, 40)[0]),
    "deflate-1k": ("1→1,000, 1 KiB, 40 a second, compressed, µs", True, lambda o, s: broadcast(s, True, 1024, 40)[0]),
    "deflate-1k-bytes": ("the same: bytes a delivery", True, lambda o, s: broadcast(s, True, 1024, 40, 2)[1]),
    "deflate-200b": ("1→1,000, 300 B, 40 a second, compressed, µs", True, lambda o, s: broadcast(s, True, 300, 40)[0]),
    "plain-saturated": ("1→1,000, 1 KiB, saturated, plain, µs", False, lambda o, s: broadcast(s, False, 1024, 0)[0]),
    "deflate-saturated": ("the same, compressed, µs", True, lambda o, s: broadcast(s, True, 1024, 0)[0]),
    "mqtt-deflate-saturated": ("the same, the hub in MQTT, µs", True, lambda o, s: broadcast(s, True, 1024, 0, mqtt=True)[0]),
    "mqtt-deflate-1k": ("1→1,000, 1 KiB, 40 a second, compressed, the hub in MQTT, µs", True,
                        lambda o, s: broadcast(s, True, 1024, 40, mqtt=True)[0]),
    "idle": ("idle with one subscription, bytes", False, lambda o, s: idle(s, False, o.idle)),
    "idle-deflate": ("the same, compression agreed on, bytes", True, lambda o, s: idle(s, True, o.idle)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, required=True, help="the load generator mqload")
    parser.add_argument("--hub", type=Path, default=Path("target/release/trefoil"))
    parser.add_argument("--modules", type=Path, required=True, help="a node_modules folder with bun and ws")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each run of the load generator")
    parser.add_argument("--idle", type=int, default=5000, help="idle connections")
    parser.add_argument("--servers", nargs="+", default=["trefoil", "bun", "ws"], choices=["trefoil", "bun", "ws"])
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help=", ".join(SCENARIOS))
    options = parser.parse_args()
    options.hub, options.modules = options.hub.resolve(), options.modules.resolve()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("| | " + " | ".join(options.servers) + " | ratio to " + " and ".join(options.servers[1:]) + " |")
    print("| --- " * (len(options.servers) + 2) + "|")
    for name in options.scenarios:
        title, deflate, measure = SCENARIOS[name]
        found = {kind: [] for kind in options.servers}
        for number in range(options.rounds):
            turn = number % len(options.servers)
            for kind in options.servers[turn:] + options.servers[:turn]:
                with Server(options, kind, deflate) as server:
                    found[kind].append(measure(options, server))
        ours, ratios = found[options.servers[0]], []
        for kind in options.servers[1:]:
            each = [a / b for a, b in zip(ours, found[kind]) if b]
            ratios.append(f"**{statistics.median(each):.2f}** ({min(each):.2f} to {max(each):.2f})" if each else "-")
        medians = [f"{statistics.median(found[kind]):.3g}" if deflate is None or statistics.median(found[kind]) < 100
                   else f"{statistics.median(found[kind]):,.0f}" for kind in options.servers]
        print(f"| {title} | " + " | ".join(medians) + " | " + " and ".join(ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
