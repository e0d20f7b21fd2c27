#!/usr/bin/env python3
"""How a shared subscription deals messages out to workers of which one is slow, under each strategy.

    cargo build --release && benches/shares.py --hub target/release/trefoil [--messages 4000]

Four workers with a window of 16 messages take tasks at QoS 1; three need half a millisecond for each, one five. Eight
publishers send on 64 topics, at a rate that the four can just stand. Printed: how many each worker did, and how long a
task waited from its publication to its worker.
"""

import argparse
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time

STRATEGIES = ["round_robin", "least_loaded", "sticky", "hash_topic"]
WORK_S = [0.0005, 0.0005, 0.0005, 0.005]
RATE = 3000


def string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def packet(first_byte, body):
    assert len(body) < 128
    return bytes([first_byte, len(body)]) + body


class Client:
    def __init__(self, port, name, window):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        properties = b"\x21" + window.to_bytes(2, "big")
        body = string("MQTT") + b"\x05\x02\x00\x00" + bytes([len(properties)]) + properties + string(name)
        self.socket.sendall(packet(0x10, body))
        assert self.next()[0] == 0x20

    def next(self, wait_s=60):
        """The next packet; none when nothing has come for so long."""
        while len(self.buffer) < 2 or len(self.buffer) < 2 + self.buffer[1]:
            if not select.select([self.socket], [], [], wait_s)[0]:
                return None
            more = self.socket.recv(65536)
            assert more, "the hub has closed"
            self.buffer += more
        size = 2 + self.buffer[1]
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found


def work(client, work_s, waits, is_over):
    while True:
        message = client.next(0.2)
        if message is None:
            if is_over.is_set():
                return
            continue
        waits.append(time.monotonic() - struct.unpack(">d", message[-8:])[0])
        time.sleep(work_s)
        topic_bytes = int.from_bytes(message[2:4], "big")
        client.socket.sendall(b"\x40\x02" + message[4 + topic_bytes : 6 + topic_bytes])


def measure(port, messages):
    workers = [Client(port, f"worker-{n}", 16) for n in range(len(WORK_S))]
    for worker in workers:
        worker.socket.sendall(packet(0x82, b"\x00\x01\x00" + string("$share/workers/tasks/#") + b"\x01"))
        assert worker.next()[0] == 0x90
    waits, is_over = [[] for _ in workers], threading.Event()
    threads = [
        threading.Thread(target=work, args=(worker, work_s, waited, is_over))
        for worker, work_s, waited in zip(workers, WORK_S, waits)
    ]
    for thread in threads:
        thread.start()
    publishers = [Client(port, f"publisher-{n}", 65535) for n in range(8)]
    start = time.monotonic()
    for n in range(messages):
        time.sleep(max(0, start + n / RATE - time.monotonic()))
        now = struct.pack(">d", time.monotonic())
        body = string(f"tasks/{n * 7 % 64}") + (n % 65535 + 1).to_bytes(2, "big") + b"\x00" + now
        publishers[n % 8].socket.sendall(packet(0x32, body))
    is_over.set()
    for thread in threads:
        thread.join()
    done = [len(waited) for waited in waits]
    assert sum(done) == messages, f"{done} of {messages}"
    all_waits = sorted(wait * 1000 for waited in waits for wait in waited)
    at = lambda share: all_waits[min(len(all_waits) - 1, int(len(all_waits) * share))]
    return done, at(0.5), at(0.99), all_waits[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="target/release/trefoil")
    parser.add_argument("--port", type=int, default=28832)
    parser.add_argument("--messages", type=int, default=4000)
    options = parser.parse_args()
    print(f"{'':<14} {'done by each, the slow one last':<32} {'median':>8} {'99 %':>8} {'worst':>8}  (ms)")
    for strategy in STRATEGIES:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(f'[[listener]]\nbind = "127.0.0.1:{options.port}"\n[shared]\nstrategy = "{strategy}"\n')
            file.write('[log]\nlevel = "error"\n')
            file.flush()
            hub = subprocess.Popen([options.hub, "serve", "--config", file.name], stdout=subprocess.PIPE)
            try:
                while b"tcp" not in hub.stdout.readline():
                    pass
                done, median, late, worst = measure(options.port, options.messages)
                each = "  ".join(f"{count:>6}" for count in done)
                print(f"{strategy:<14} {each:<32} {median:>8.1f} {late:>8.1f} {worst:>8.1f}")
            finally:
                hub.terminate()
                hub.wait()


if __name__ == "__main__":
    main()
