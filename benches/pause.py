#!/usr/bin/env python3
"""How long a hub keeps a bystander waiting while others fetch a large set of retained messages.

    cargo build --release && benches/pause.py --hub target/release/trefoil [--count 1000000]

One shard, so that all share a thread. A bystander sends a PINGREQ every two milliseconds and takes the time until the
PINGRESP: while nothing else happens, while readers fetch everything, and while one searches for what is not there.
"""

import argparse
import socket
import statistics
import subprocess
import tempfile
import threading
import time


def string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def packet(first_byte, body):
    length, head = len(body), bytearray([first_byte])
    while True:
        head.append(length % 128 | (0x80 if length > 127 else 0))
        length //= 128
        if not length:
            return bytes(head) + body


def connect(port, name):
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(packet(0x10, string("MQTT") + b"\x04\x02\x00\x00" + string(name)))
    assert client.recv(4) == b"\x20\x02\x00\x00"
    return client


def fill(port, count):
    client = connect(port, "filler")
    for start in range(0, count, 1000):
        topics = (f"a/{n // 1000}/{n}/c" for n in range(start, min(start + 1000, count)))
        client.sendall(b"".join(packet(0x31, string(topic) + b"x" * 64) for topic in topics))
    client.sendall(b"\xc0\x00")
    assert client.recv(2) == b"\xd0\x00"


def subscribe(client, topic_filter):
    client.sendall(packet(0x82, b"\x00\x01" + string(topic_filter) + b"\x00"))


def drain(client, wanted_bytes, done):
    """Reads until so many bytes have come, or until a ping is answered if that says 0."""
    buffer, got = bytearray(1 << 20), 0
    client.settimeout(60)
    if not wanted_bytes:
        client.sendall(b"\xc0\x00")
        while client.recv(65536)[-2:] != b"\xd0\x00":
            pass
    while got < wanted_bytes:
        got += client.recv_into(buffer)
    done.set()


def pings(client, until, least=200):
    waits = []
    while not until() or len(waits) < least:
        start = time.perf_counter()
        client.sendall(b"\xc0\x00")
        client.recv(2)
        waits.append((time.perf_counter() - start) * 1000)
        time.sleep(0.002)
    return sorted(waits)


def row(name, waits):
    at = lambda share: waits[min(len(waits) - 1, int(len(waits) * share))]
    print(f"{name:<28} {len(waits):>6} {statistics.median(waits):>8.2f} {at(0.99):>8.2f} {waits[-1]:>8.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="target/release/trefoil")
    parser.add_argument("--port", type=int, default=28831)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=4)
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f'shards = 1\n[[listener]]\nbind = "127.0.0.1:{options.port}"\n')
        file.write(f"[limits]\nretained_messages_max = {options.count}\n")
        file.flush()
        hub = subprocess.Popen([options.hub, "serve", "--config", file.name], stdout=subprocess.PIPE)
        try:
            while b"tcp" not in hub.stdout.readline():
                pass
            measure(options)
        finally:
            hub.terminate()
            hub.wait()


def measure(options):
    fill(options.port, options.count)
    bystander = connect(options.port, "bystander")
    print(f"{'':<28} {'pings':>6} {'median':>8} {'99 %':>8} {'worst':>8}  (ms)")
    row("nothing else", pings(bystander, lambda: True, 1000))
    # 64 bytes of payload, and the topic, in a packet.
    bytes_each = sum(len(f"a/{n // 1000}/{n}/c") + 68 for n in range(options.count))
    for name, readers, topic_filter, wanted in [
        ("all of it, one reader", 1, "#", bytes_each),
        (f"all of it, {options.readers} readers", options.readers, "#", bytes_each),
        ("half a match, none whole", options.readers, "a/+/+/d", 0),
    ]:
        clients = [connect(options.port, f"reader-{n}") for n in range(readers)]
        done = [threading.Event() for _ in clients]
        for client, event in zip(clients, done):
            subscribe(client, topic_filter)
            threading.Thread(target=drain, args=(client, wanted, event), daemon=True).start()
        row(name, pings(bystander, lambda: all(event.is_set() for event in done)))
        for client in clients:
            client.close()


if __name__ == "__main__":
    main()
