#!/usr/bin/env python3
"""What it costs to have messages on disk before they are acknowledged, beside mosquitto, which does not do that.

    cargo build --release -p trefoil && cargo build --release -p trefoil-benches --example durable_load
    benches/durable.py --load PATH-TO-mqload --hub target/release/trefoil --mosquitto /usr/sbin/mosquitto

Messages of 64 bytes at QoS 1 for 50 sessions that are away, each message for one of them. Four servers take turns, and in
each round the order is another: the hub with `durability = "sync"` and `"none"`, mosquitto with persistence and without.
Each run has a fresh server and a fresh folder, on the disk of `--folder`.

Two kinds of load: one publisher with 1, 10, 100, 1000 messages in flight (the yardstick's `durable`, which afterwards
fetches them all and counts), and 1, 10, 100, 1000 publishers with one message each (`durable_load`, beside this file).
Prints Markdown tables of medians.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from compare import free_port, wait_for

SERVERS = ["sync", "none", "mosquitto", "mosquitto, persistence"]
STEPS = [1, 10, 100, 1000]
# So many messages that a run lasts seconds with the disk and still fits the queues without it.
WINDOW_COUNT = {1: 10_000, 10: 100_000, 100: 400_000, 1000: 1_000_000}
STOP_S = 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, required=True, help="the yardstick")
    parser.add_argument("--hub", type=Path, required=True)
    parser.add_argument("--mosquitto", type=Path, required=True)
    parser.add_argument("--many", type=Path, default=Path("target/release/examples/durable_load"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of a run with many publishers")
    parser.add_argument("--folder", type=Path, default=Path("target"), help="where the servers keep their data")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = {}
    for kind in ["in flight", "publishers"]:
        for step in STEPS:
            for turn in range(options.rounds):
                for server in SERVERS[turn % 4:] + SERVERS[:turn % 4]:
                    result = run(server, kind, step, options)
                    results.setdefault((kind, step), {}).setdefault(server, []).append(result)
                    print(f"{kind} {step} {server}: {result}", file=sys.stderr)
    for kind in ["in flight", "publishers"]:
        print(table(kind, {step: runs for (of, step), runs in results.items() if of == kind}), end="\n\n")


def run(server, kind, step, options):
    """Rate, CPU time per message and latencies of one run with a fresh server."""
    with tempfile.TemporaryDirectory(prefix="durable-", dir=options.folder) as folder:
        os.chmod(folder, 0o777)  # mosquitto started by root writes as another user
        port, http = free_port(), free_port()
        command = start_command(server, port, http, Path(folder).resolve(), options)
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port, child)
            before = syncs(server, http)
            result = loads(kind, step, port, child.pid, options)
            after = syncs(server, http)
            if before and after[0] > before[0]:
                result["per_sync"] = result["count"] / (after[0] - before[0])
                result["syncs_per_s"] = (after[0] - before[0]) / result["seconds"]
            return result
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def loads(kind, step, port, pid, options):
    if kind == "in flight":
        count = WINDOW_COUNT[step]
        command = [options.load, "durable", "--qos", "1", "--window", step, "--count", count, "--port", port, "--pid", pid]
        out = json.loads(output(command))
        faults = {key: out[key] for key in ["lost", "duplicates", "order_errors", "misrouted", "rejected"] if out[key]}
        if faults or out["acked"] != count:
            sys.exit(f"not all came as it should: {faults}, {out['acked']} of {count} acknowledged")
        cpu_s = out["publish"]["broker_cpu_s"]
        rate, latency = out["publish_per_s"], out["ack_latency_us"]
        return {"count": count, "seconds": count / rate, "rate": rate, "cpu_us": cpu_s / count * 1e6,
                "p50_us": latency["p50"], "p99_us": latency["p99"], "others": out["publish"]["machine_other_cores"]}
    began = cpu_seconds(pid)
    out = json.loads(output([options.many, "--publishers", step, "--seconds", options.seconds, "--port", port]))
    cpu_s = cpu_seconds(pid) - began
    return {"count": out["acked"], "seconds": out["seconds"], "rate": out["acked_per_s"],
            "cpu_us": cpu_s / out["acked"] * 1e6, "p50_us": out["ack_us"]["p50"], "p99_us": out["ack_us"]["p99"]}


def output(command):
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=True).stdout


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def syncs(server, http):
    """How many syncs a hub has made so far, if it makes any."""
    if server != "sync":
        return None
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return [float(line.split()[1]) for line in lines if line.startswith("trefoil_store_syncs_total")]


def start_command(server, port, http, folder, options):
    if server.startswith("mosquitto"):
        config = folder / "mosquitto.conf"
        persistence = "true" if "persistence" in server else "false"
        config.write_text(f"listener {port} 127.0.0.1\nsocket_domain ipv4\nallow_anonymous true\nlog_dest none\n"
                          f"max_queued_messages 0\nmax_inflight_messages 0\npersistence {persistence}\n"
                          f"persistence_location {folder}/\n")
        return [options.mosquitto, "-c", config]
    more = (f'durability = "{server}"\n'
            "[limits]\nsession_queue_messages_max = 1000000\nsession_queue_bytes_max = 1000000000\n")
    return hub_command(options.hub, folder, port, http, more)


def hub_command(hub, folder, port, http, store=""):
    """Starts a hub that keeps its store in `folder`; `store` is more of that section, and what follows it."""
    config = Path(folder, "trefoil.toml")
    listeners = "".join(f'[[listener]]\nbind = "127.0.0.1:{number}"\n' for number in [port, http])
    config.write_text(f'{listeners}[store]\npath = "{Path(folder).resolve()}/store"\n{store}')
    return [hub, "serve", "--config", config]


def table(kind, steps):
    lines = [[kind, "server", "acknowledged a second", "of mosquitto", "CPU a message, µs", "p50, ms", "p99, ms",
              "messages a sync", "syncs a second"]]
    lines.append(["---"] * len(lines[0]))
    for step, servers in steps.items():
        for server in SERVERS:
            runs = servers[server]
            ratios = [run["rate"] / other["rate"] for run, other in zip(runs, servers["mosquitto"])]
            median = statistics.median(run["rate"] for run in runs)
            base = statistics.median(run["rate"] for run in servers["mosquitto"])
            lines.append([f"{step:,}", server, f"{median:,.0f}",
                          f"**{median / base:.2f}** ({min(ratios):.2f} to {max(ratios):.2f})",
                          of(runs, "cpu_us", 1), of(runs, "p50_us", 2, 1000), of(runs, "p99_us", 2, 1000),
                          of(runs, "per_sync", 1), of(runs, "syncs_per_s", 0)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def of(runs, figure, digits, divided_by=1):
    values = [run[figure] for run in runs if figure in run]
    return f"{statistics.median(values) / divided_by:,.{digits}f}" if values else ""


if __name__ == "__main__":
    main()
