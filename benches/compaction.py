#!/usr/bin/env python3
"""How long publishers wait for their acknowledgements while the hub makes its store smaller, and how large that becomes.

    cargo build --release -p trefoil && cargo build --release -p trefoil-benches --example durable_load
    benches/compaction.py --hub target/release/trefoil [--hub ANOTHER] [--scattered] [--replaced 50000]

Retains so many messages, and then replaces them at a fixed rate at QoS 1 with `durability = "sync"`, so that the store
grows and has to be made smaller many times. Replaced one after the other they leave nothing live in what is old; at random, or with
some that stay, they do. In turn with that, the same with so much slack that it never has to be.
Latency is taken from when a message was due. Each tenth of a second belongs to one side or the other by
`trefoil_store_checkpoint_under_way`; those in which that changes belong to neither. With two hubs all of it for each.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from compare import free_port, wait_for
from durable import hub_command

SLICE_MS = 100
LOOK_S = 0.02


NEVER = 'slack_bytes = "4095 MiB"\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", type=Path, action="append", required=True)
    parser.add_argument("--many", type=Path, default=Path("target/release/examples/durable_load"))
    parser.add_argument("--retained", type=int, default=200_000)
    parser.add_argument("--replaced", type=int, help="so many of them are replaced, and the others stay; else all are")
    parser.add_argument("--scattered", action="store_true", help="at random, instead of in turn")
    parser.add_argument("--rate", type=float, default=20_000, help="messages a second")
    parser.add_argument("--size", type=int, default=1000, help="payload bytes")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", default="", help="more for the section [store] where it is made smaller")
    parser.add_argument("--folder", type=Path, default=Path("target"), help="where the hubs keep their stores")
    options = parser.parse_args()
    sides = [(hub, store) for hub in options.hub for store in [NEVER, options.store.replace("\\n", "\n") + "\n"]]
    results = {side: [] for side in sides}
    for turn in range(options.rounds):
        for side in sides[turn % len(sides):] + sides[:turn % len(sides)]:
            results[side].append(run(options, *side))
            print(f"{side}: {results[side][-1]}", file=sys.stderr)
    print(table(results))


def run(options, hub, store):
    """One run with a fresh hub."""
    with tempfile.TemporaryDirectory(prefix="compaction-", dir=options.folder) as folder:
        port, http = free_port(), free_port()
        child = subprocess.Popen(hub_command(hub, folder, port, http, store), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            wait_for(port, child)
            return measure(options, port, http)
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def measure(options, port, http):
    load = [options.many, "--port", port, "--sessions", 0, "--size", options.size]
    fill = [*load, "--topics", options.retained, "--publishers", 10, "--window", 100, "--count", options.retained, "--seconds", 600]
    subprocess.run(list(map(str, fill)), check=True, stdout=subprocess.DEVNULL)
    looks, done = [], threading.Event()
    watcher = threading.Thread(target=watch, args=(http, looks, done))
    before = figures(http)
    command = [*load, "--topics", options.replaced or options.retained, "--publishers", 20, "--rate", options.rate,
               "--seconds", options.seconds, "--slice-ms", SLICE_MS, *["--scattered"] * options.scattered]
    began = time.monotonic()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
    watcher.start()
    result = json.loads(child.communicate()[0])
    done.set()
    watcher.join()
    after = figures(http)
    # The load says how long it ran, and ended just now: so much for when it began.
    began = max(began, looks[-1][0] - result["seconds"])
    parts = {0: [], 1: []}
    for part in result["slices"]:
        start = began + part["at_ms"] / 1000
        seen = {look["under_way"] for at, look in looks if start - LOOK_S <= at <= start + SLICE_MS / 1000 + LOOK_S}
        if len(seen) == 1:
            parts[seen.pop()].append(part["ack_us"]["p99"] / 1000)
    written = after["appended"] - before["appended"]
    return {"p50": result["ack_us"]["p50"] / 1000, "p99": result["ack_us"]["p99"] / 1000,
            "worst": result["ack_us"]["max"] / 1000, "otherwise": parts[0], "under way": parts[1],
            "checkpoints": after["checkpoints"] - before["checkpoints"], "per_message": written / result["acked"],
            "filled": before["disk"], "largest": max(look["disk"] for _, look in looks)}


def table(results):
    heads = ["hub", "the store", "p50, ms", "p99, ms", "worst, ms", "tenths of a second while it is made smaller",
             "their p99: median, 90 %", "the others' p99: median, 90 %", "checkpoints", "bytes written a message",
             "largest, MB", "of what the filling took"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for (hub, store), runs in results.items():
        middle = lambda key: statistics.median(run[key] for run in runs)
        pooled = lambda key: sorted(part for run in runs for part in run[key])
        under_way, otherwise = pooled("under way"), pooled("otherwise")
        largest = max(run["largest"] for run in runs)
        lines.append("| " + " | ".join([
            hub.name, "only grows" if store == NEVER else "is made smaller", f"{middle('p50'):.2f}", f"{middle('p99'):.2f}",
            f"{max(run['worst'] for run in runs):.1f}", f"{len(under_way) / len(under_way + otherwise):.0%}",
            quantiles(under_way), quantiles(otherwise), f"{middle('checkpoints'):.0f}", f"{middle('per_message'):.0f}",
            f"{largest / 1e6:.0f}", f"{largest / middle('filled'):.2f}"]) + " |")
    return "\n".join(lines)


def quantiles(parts):
    return f"{parts[len(parts) // 2]:.2f}, {parts[len(parts) * 9 // 10]:.2f}" if parts else "-"


def watch(http, looks, done):
    while not done.is_set():
        looks.append((time.monotonic(), figures(http)))
        time.sleep(LOOK_S)


def figures(http):
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    names = {"under_way": "trefoil_store_checkpoint_under_way", "checkpoints": "trefoil_store_checkpoints_total",
             "disk": "trefoil_store_disk_bytes", "appended": "trefoil_store_appended_bytes_total"}
    values = dict(line.split() for line in lines if not line.startswith("#") and "{" not in line)
    return {key: float(values[name]) for key, name in names.items()}


if __name__ == "__main__":
    main()
