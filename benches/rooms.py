#!/usr/bin/env python3
"""What a datagram costs the hub that goes to a hundred peers of a room, beside a loop that only reads and writes the same.

    cargo build --release -p trefoil && cargo build --release -p trefoil-benches --example room_load
    benches/rooms.py [--rounds 3] [--hub target/release/trefoil] [--also OTHER-HUB]

Both get the same load in turns, each with a fresh server; printed is the median of each and the ratio of the medians. CPU
time is that of the server's process, user and system together, as the kernel counts it. On the loopback device it has the
receivers' share of UDP in it, for both alike.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

LOADS = [
    # (words, window, rate, payload bytes)
    ("one at a time", 1, None, 64),
    ("16 at a time", 16, None, 64),
    ("16 at a time, 1,000 bytes", 16, None, 1000),
    ("200 a second", 1, 200, 64),
]


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hub(program, port, more=""):
    config = tempfile.NamedTemporaryFile("w", suffix=".toml")
    config.write(more)
    config.write(f'[[listener]]\nbind = "udp://127.0.0.1:{port}"\nprotocols = ["rooms"]\n')
    config.write('[rooms]\nrate_max = 0\n[store]\ndurability = "none"\n[log]\nlevel = "error"\n')
    config.flush()
    server = subprocess.Popen([program, "serve", "--config", config.name], stdout=subprocess.PIPE)
    server.stdout.readline()
    return server, config


def floor(program, port, *more):
    server = subprocess.Popen([program, "floor", "--port", str(port), *more])
    time.sleep(0.3)
    return server, None


def measure(start, load, words, port, seconds, receivers):
    _, window, rate, size = words
    server, config = start(port)
    try:
        arguments = [load, "load", "--port", str(port), "--receivers", str(receivers), "--window", str(window),
                     "--size", str(size)] + (["--rate", str(rate)] if rate else [])
        subprocess.run(arguments + ["--seconds", "0.5"], check=True, stdout=subprocess.DEVNULL)
        # Those of the warm-up are in the room still: the server is started anew for what counts.
    finally:
        server.terminate()
        server.wait()
    server, config = start(port)
    try:
        before = cpu_s(server.pid)
        result = json.loads(subprocess.run(arguments + ["--seconds", str(seconds)], check=True,
                                           stdout=subprocess.PIPE).stdout)
        used = cpu_s(server.pid) - before
        return used / result["delivered"] * 1e6, result["delivered"] / result["seconds"], result["lost"]
    finally:
        server.terminate()
        server.wait()
        if config:
            config.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="target/release/trefoil")
    parser.add_argument("--also", help="another hub, to compare two builds")
    parser.add_argument("--load", default="target/release/examples/room_load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--receivers", type=int, default=100)
    parser.add_argument("--port", type=int, default=28841)
    options = parser.parse_args()
    servers = {
        "hub": lambda port: hub(options.hub, port),
        "hub, one shard": lambda port: hub(options.hub, port, "shards = 1\n"),
        "loop": lambda port: floor(options.load, port),
        "loop, segments": lambda port: floor(options.load, port, "--segments"),
    }
    if options.also:
        servers["other hub"] = lambda port: hub(options.also, port)
    for words in LOADS:
        found = {name: [] for name in servers}
        for turn in range(options.rounds):
            names = list(servers) if turn % 2 == 0 else list(servers)[::-1]
            for name in names:
                found[name].append(
                    measure(servers[name], options.load, words, options.port, options.seconds, options.receivers))
        print(f"{words[0]}:")
        floor_cpu = statistics.median(one[0] for one in found["loop"])
        for name, runs in found.items():
            cpu, rate = statistics.median(one[0] for one in runs), statistics.median(one[1] for one in runs)
            lost = sum(one[2] for one in runs)
            ratios = [one[0] / floor_cpu for one in runs]
            print(f"  {name:15} {cpu:6.2f} us of CPU for each delivered, {rate:9,.0f} a second, {lost} lost; "
                  f"{cpu / floor_cpu:.2f} of the loop ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
