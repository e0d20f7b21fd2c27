#!/usr/bin/env python3
"""Compares frames over TCP and UDP with MQTT at QoS 0: what a message costs the hub on its way in, and on its way out.

    cargo build --release -p trefoil
    benches/framed.py --hub target/release/trefoil

Payloads have 64 bytes. On the way in ten connections send to a topic each, and one MQTT client is subscribed to one of them;
on the way out one MQTT client publishes and a hundred connections get it. Bytes are made beforehand and sent in large pieces,
so that the hub has all the work; over UDP each message is a datagram. `--idle` measures the memory of idle connections with
one subscription instead. Of all that counts the CPU time of the hub for each message. In each round all kinds take their
turn. The table has medians, and in brackets the lowest and the highest ratio of a round.
"""

import argparse
import re
import resource
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
PAYLOAD = b"x" * 64
SENDERS, RECEIVERS = 10, 100
# So many bytes are handed over at a time, or so many datagrams without a pause.
PIECE_BYTES = 256 << 10
DEADLINE_S = 120

CONFIG = """
shards = 2
[store]
durability = "none"
[[listener]]
bind = "127.0.0.1:0"
"""
FRAMED = """
[[listener]]
bind = "{bind}127.0.0.1:0"
framing = "{framing}"
{keys}
publish = "in/{{peer}}"
subscribe = "out"
"""
KINDS = {
    "line": ("", "line", ""),
    "length": ("", "length", 'length = "u16be"'),
    "slip": ("", "slip", ""),
    "datagram": ("udp://", "datagram", "idle_s = 3600"),
}


class Hub:
    """The hub, with a listener of each kind."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory()
        listeners = [FRAMED.format(bind=b, framing=f, keys=k) for b, f, k in KINDS.values()]
        config = Path(self.folder.name) / "trefoil.toml"
        config.write_text(CONFIG + "".join(listeners))
        self.process = subprocess.Popen([Path(binary).resolve(), "serve", "--config", config], cwd=self.folder.name,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ports = []
        while len(ports) < 1 + len(KINDS):
            found = re.search(r"(?:tcp|udp)://127\.0\.0\.1:(\d+)", self.process.stdout.readline())
            if found:
                ports.append(int(found[1]))
        self.ports = dict(zip(["mqtt", *KINDS], ports))

    def cpu_s(self):
        # In nanoseconds, where the usual figures have steps of ten milliseconds. No thread of the hub ends meanwhile.
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def figure(self, name):
        with socket.create_connection((HOST, self.ports["mqtt"])) as http:
            http.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            page = b"".join(iter(lambda: http.recv(1 << 16), b"")).decode()
        return int(re.search(rf"^trefoil_{name} (\d+)", page, re.MULTILINE)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def length(count):
    encoded = b""
    while True:
        count, digit = count >> 7, count & 0x7F
        if not count:
            return encoded + bytes([digit])
        encoded += bytes([digit | 0x80])


def packet(head, body):
    return bytes([head]) + length(len(body)) + body


def text(value):
    return len(value).to_bytes(2, "big") + value


def publish(topic):
    return packet(0x30, text(topic) + PAYLOAD)


def mqtt(hub, name, topic=None):
    """A client of MQTT 3.1.1, subscribed if there is a topic."""
    client = socket.create_connection((HOST, hub.ports["mqtt"]))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(packet(0x10, text(b"MQTT") + b"\x04\x02\0\0" + text(name)))
    client.recv(4, socket.MSG_WAITALL)
    if topic is not None:
        client.sendall(packet(0x82, b"\0\1" + text(topic) + b"\0"))
        client.recv(5, socket.MSG_WAITALL)
    return client


def frame(kind):
    return {"line": PAYLOAD + b"\n", "length": len(PAYLOAD).to_bytes(2, "big") + PAYLOAD,
            "slip": b"\xc0" + PAYLOAD + b"\xc0", "datagram": PAYLOAD}[kind]


def raw(hub, kind):
    is_udp = kind == "datagram"
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM)
    client.connect((HOST, hub.ports[kind]))
    if is_udp:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        # A peer is one when it has said something.
        client.send(b"here")
    else:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def settle(hub, name, value):
    deadline = time.monotonic() + DEADLINE_S
    while hub.figure(name) < value:
        if time.monotonic() > deadline:
            raise SystemExit(f"{name} stays below {value}")
        time.sleep(0.02)


def way_in(hub, kind, messages):
    """CPU seconds of the hub for each message that is sent to it, and messages a second."""
    if kind == "mqtt":
        senders = [(mqtt(hub, b"sender%d" % n), publish(b"in/%d" % n)) for n in range(SENDERS)]
        topic = b"in/0"
    else:
        senders = [(raw(hub, kind), frame(kind)) for _ in range(SENDERS)]
        topic = "in/{}:{}".format(*senders[0][0].getsockname()).encode()
    reader = mqtt(hub, b"reader", topic)
    drained = threading.Thread(target=drain, args=(reader,))
    drained.start()
    time.sleep(0.2)
    before, cpu, began = hub.figure("messages_in_total"), hub.cpu_s(), time.monotonic()
    each = messages // SENDERS
    if kind == "datagram":
        # More than the kernel holds would be lost.
        burst, sent = 256, 0
        while sent < messages:
            for _ in range(burst):
                senders[sent % SENDERS][0].send(PAYLOAD)
                sent += 1
            settle(hub, "messages_in_total", before + sent - burst) if sent % (burst * 16) == 0 else None
        got = messages
    else:
        left = [each] * SENDERS
        while any(left):
            for number, (sender, one) in enumerate(senders):
                count = min(left[number], max(1, PIECE_BYTES // len(one)))
                sender.sendall(one * count)
                left[number] -= count
        got = each * SENDERS
    settle(hub, "messages_in_total", before + got * (99 if kind == "datagram" else 100) // 100)
    took = time.monotonic() - began
    spent = hub.cpu_s() - cpu
    got = hub.figure("messages_in_total") - before
    for sender, _one in senders:
        sender.close()
    reader.shutdown(socket.SHUT_RDWR)
    drained.join()
    return spent / got, got / took


def drain(reader):
    while reader.recv(1 << 20):
        pass


def way_out(hub, kind, messages):
    """The same for each delivery."""
    if kind == "mqtt":
        receivers = [mqtt(hub, b"receiver%d" % n, b"out") for n in range(RECEIVERS)]
    else:
        receivers = [raw(hub, kind) for _ in range(RECEIVERS)]
        time.sleep(0.5)
    sender = mqtt(hub, b"sender")
    poll = select.epoll()
    by_number = {receiver.fileno(): receiver for receiver in receivers}
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    before, cpu, began = hub.figure("messages_out_total"), hub.cpu_s(), time.monotonic()
    one, sent = publish(b"out"), 0
    # As many as the outboxes hold for sure, and then what has been read is replaced.
    window = 32 if kind == "datagram" else 512
    while sent < messages:
        sender.sendall(one * window)
        sent += window
        wanted = before + sent * RECEIVERS
        deadline = time.monotonic() + DEADLINE_S
        bytes_each = len(one if kind == "mqtt" else frame(kind)) * window
        got = 0
        while got < bytes_each * RECEIVERS and time.monotonic() < deadline:
            ready = poll.poll(0.05 if kind == "datagram" else 5)
            if not ready and kind == "datagram":
                break
            for number, _events in ready:
                if kind == "datagram":
                    try:
                        while True:
                            got += len(by_number[number].recv(1 << 16, socket.MSG_DONTWAIT))
                    except BlockingIOError:
                        pass
                else:
                    got += len(by_number[number].recv(1 << 20))
    took = time.monotonic() - began
    spent = hub.cpu_s() - cpu
    delivered = hub.figure("messages_out_total") - before
    if delivered < (wanted - before) * 0.99:
        raise SystemExit(f"{kind}: only {delivered} of {wanted - before} deliveries")
    for one in [*receivers, sender]:
        one.close()
    return spent / delivered, delivered / took


def idle(hub, kind, count):
    """Bytes of the hub's memory for each idle connection with one subscription, by the slope of the second half."""
    def more(upto):
        while len(kept) < upto:
            n = len(kept)
            kept.append(mqtt(hub, b"idle%d" % n, b"out") if kind == "mqtt" else raw(hub, kind))
        time.sleep(1)
        return hub.rss_bytes()

    kept = []
    half, whole = more(count // 2), more(count)
    for one in kept:
        one.close()
    return (whole - half) / (count - count // 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", default="target/release/trefoil")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--idle", type=int, help="so many idle connections of each kind instead")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = ["mqtt", *KINDS]
    if arguments.idle:
        for kind in kinds:
            hub = Hub(arguments.hub)
            print(f"{kind:10} {idle(hub, kind, arguments.idle):8.0f} bytes for each idle connection")
            hub.stop()
        return
    for title, run, messages in [("in", way_in, arguments.messages), ("out", way_out, arguments.messages // 50)]:
        found = {kind: [] for kind in kinds}
        for round_number in range(arguments.rounds):
            for kind in kinds[round_number % len(kinds):] + kinds[:round_number % len(kinds)]:
                count = messages // 10 if kind == "datagram" else messages
                # A new one for each: peers over UDP stay for a while.
                hub = Hub(arguments.hub)
                found[kind].append(run(hub, kind, count))
                hub.stop()
        print(f"{title}: µs of CPU for each message, ratio to MQTT, thousand messages a second")
        for kind in kinds:
            cost = statistics.median(cost for cost, _rate in found[kind]) * 1e6
            ratios = [one[0] / base[0] for one, base in zip(found[kind], found["mqtt"])]
            rate = statistics.median(rate for _cost, rate in found[kind]) / 1000
            print(f"{kind:10} {cost:7.3f}  {statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f})  {rate:9.0f}",
                  flush=True)


if __name__ == "__main__":
    main()
