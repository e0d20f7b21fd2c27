#!/usr/bin/env python3
"""How much memory MQTT-SN clients take that have connected, subscribed and gone to sleep, all on one UDP listener.

    cargo build --release && benches/mqtt_sn_sessions.py --hub target/release/trefoil [--count 1000000]

Each client is a source address of its own on the loopback device (127.0.0.2, .3, ... with 50,000 ports each). A client
that sleeps needs no socket here, so the file limit does not matter. Printed: clients, the hub's resident memory, and
the bytes for each client since the line before.
"""

import argparse
import re
import socket
import subprocess
import tempfile
import time
import urllib.request

PORTS = 50_000


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024


def client(gateway, number):
    """CONNECT, SUBSCRIBE to a short topic name of its own group, and DISCONNECT with a duration."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((f"127.0.0.{2 + number // PORTS}", 10_000 + number % PORTS))
    udp.connect(gateway)
    udp.settimeout(5)
    name = b"device-%07d" % number
    topic = b"d/%07d" % number
    for packet, answer in [
        (b"\x04\x04\x01\xff\xff" + name, 0x05),
        (b"\x12\x00\x00\x01" + topic, 0x13),
        (b"\x18\xff\xff", 0x18),
    ]:
        udp.send(bytes([len(packet) + 1]) + packet)
        got = udp.recv(64)
        assert got[1] == answer, (number, got)
        assert got[1] == 0x18 or got[-1] == 0, (number, got)
    udp.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="target/release/trefoil")
    parser.add_argument("--port", type=int, default=28833)
    parser.add_argument("--count", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(f'[[listener]]\nbind = "udp://127.0.0.1:{options.port}"\nprotocols = ["mqtt-sn"]\n')
        file.write(f'connections_max = {options.count}\n')
        file.write(f'[[listener]]\nbind = "127.0.0.1:{options.port}"\n[log]\nlevel = "error"\n')
        file.write(f"[limits]\nsessions_max = {options.count + 1000}\n")
        file.flush()
        hub = subprocess.Popen([options.hub, "serve", "--config", file.name], stdout=subprocess.PIPE)
        try:
            while b"tcp" not in hub.stdout.readline():
                pass
            time.sleep(0.5)
            before, start = rss(hub.pid), time.monotonic()
            print(f"{0:>9} clients {before / 1e6:>8.1f} MB")
            step = max(1, options.count // 10)
            for number in range(options.count):
                client(("127.0.0.1", options.port), number)
                if (number + 1) % step == 0:
                    now = rss(hub.pid)
                    each = (now - before) / step
                    print(f"{number + 1:>9} clients {now / 1e6:>8.1f} MB {each:>7.0f} bytes each", flush=True)
                    before = now
            took = time.monotonic() - start
            url = f"http://127.0.0.1:{options.port}/api/v1/stats"
            sessions = re.search(rb'"sessions":\s*(\d+)', urllib.request.urlopen(url).read())[1]
            print(f"{sessions.decode()} sessions in the hub's own figures, after {took:.0f} s")
        finally:
            hub.terminate()
            hub.wait()


if __name__ == "__main__":
    main()
