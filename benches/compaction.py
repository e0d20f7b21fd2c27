#!/usr/bin/env python3
"""How long publishers wait for their acknowledgements while the hub makes its store smaller, and while it does not.

    cargo build --release -p trefoil && cargo build --release -p trefoil-benches --example durable_load
    benches/compaction.py --hub target/release/trefoil [--retained 200000]

Retains so many messages, and then replaces them at a fixed rate at QoS 1 with `durability = "sync"`, so that the store
grows and has to be made smaller several times. Latency is taken from when a message was due. Each tenth of a second
belongs to one side or the other by `trefoil_store_checkpoint_under_way`; those in which that changes belong to neither.
"""

import argparse
import json
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from compare import free_port, wait_for
from durable import hub_command

SLICE_MS = 100
LOOK_S = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", type=Path, required=True)
    parser.add_argument("--many", type=Path, default=Path("target/release/examples/durable_load"))
    parser.add_argument("--retained", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=20_000, help="messages a second")
    parser.add_argument("--size", type=int, default=1000, help="payload bytes")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--folder", type=Path, default=Path("target"), help="where the hub keeps its store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="compaction-", dir=options.folder) as folder:
        port, http = free_port(), free_port()
        child = subprocess.Popen(hub_command(options.hub, folder, port, http), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            wait_for(port, child)
            measure(options, port, http)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def measure(options, port, http):
    load = [options.many, "--port", port, "--sessions", 0, "--topics", options.retained, "--size", options.size]
    fill = [*load, "--publishers", 10, "--window", 100, "--count", options.retained, "--seconds", 600]
    subprocess.run(list(map(str, fill)), check=True, stdout=subprocess.DEVNULL)
    looks, done = [], threading.Event()
    watcher = threading.Thread(target=watch, args=(http, looks, done))
    before = figures(http)
    run = [*load, "--publishers", 20, "--rate", options.rate, "--seconds", options.seconds, "--slice-ms", SLICE_MS]
    began = time.monotonic()
    child = subprocess.Popen(list(map(str, run)), stdout=subprocess.PIPE)
    watcher.start()
    result = json.loads(child.communicate()[0])
    done.set()
    watcher.join()
    after = figures(http)
    # The load says how long it ran, and ended just now: so much for when it began.
    began = max(began, looks[-1][0] - result["seconds"])
    sides = {0: [], 1: []}
    for part in result["slices"]:
        start = began + part["at_ms"] / 1000
        seen = {look["under_way"] for at, look in looks if start - LOOK_S <= at <= start + SLICE_MS / 1000 + LOOK_S}
        if len(seen) == 1:
            sides[seen.pop()].append(part["ack_us"])
    print(f"{result['acked']:,} messages acknowledged, {after['checkpoints'] - before['checkpoints']:.0f} checkpoints, "
          f"{max(look['disk'] for _, look in looks) / before['disk']:.2f} times the store's size after the filling at most")
    print("| | tenths of a second | p50, ms | p99, ms: median of them | 90 % of them | worst message, ms |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for side, name in [(0, "otherwise"), (1, "while the store is made smaller")]:
        parts = sides[side]
        if not parts:
            print(f"| {name} | 0 |")
            continue
        p99 = sorted(part["p99"] for part in parts)
        p50 = sorted(part["p50"] for part in parts)
        print(f"| {name} | {len(parts)} | {p50[len(p50) // 2] / 1000:.2f} | {p99[len(p99) // 2] / 1000:.2f} | "
              f"{p99[len(p99) * 9 // 10] / 1000:.2f} | {max(part['max'] for part in parts) / 1000:.2f} |")


def watch(http, looks, done):
    while not done.is_set():
        looks.append((time.monotonic(), figures(http)))
        time.sleep(LOOK_S)


def figures(http):
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    names = {"under_way": "trefoil_store_checkpoint_under_way", "checkpoints": "trefoil_store_checkpoints_total",
             "disk": "trefoil_store_disk_bytes"}
    values = dict(line.split() for line in lines if not line.startswith("#") and "{" not in line)
    return {key: float(values[name]) for key, name in names.items()}


if __name__ == "__main__":
    main()
