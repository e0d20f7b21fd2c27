#!/usr/bin/env python3
"""Compares the hub with mosquitto under the same load, in alternated runs, and prints Markdown tables of ratios.

    cargo build --release -p trefoil
    benches/compare.py --load PATH-TO-mqload --hub target/release/trefoil --mosquitto /usr/sbin/mosquitto

The load comes from the yardstick, a load generator for MQTT (mqload). Every run has a server of its own, started on a
free port of the loopback device and stopped afterwards. The hub runs with its default limits, mosquitto without limits
on its queues. In each round both take their turn, and who goes first changes from round to round, so that what else
the machine does meets both alike. The tables have medians, and in brackets the lowest and the highest ratio of a round.
A run during which other programs were busy is made again, twice at most, and the quietest counts.

A run of both with all loads takes a quarter of an hour. 19,000 connections need a limit of 20,000 open files.
"""

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAN_OUT, PAIRS, FAN_IN = "fan-out 1→500", "100 pairs", "fan-in 200→1"
AT_500 = ["--linger-us", "10000"]
AT_1 = ["--linger-us", "5000"]

# Name, arguments of the load generator, and whether its latencies mean anything: not where it reads late by itself.
SCENARIOS = {
    "fanout": (f"{FAN_OUT}, QoS 0, saturated", ["fanout", *AT_500], False),
    "fanout-prompt": (f"{FAN_OUT}, QoS 0, saturated, read at once", ["fanout"], True),
    "fanout-rate": (f"{FAN_OUT}, QoS 0, 20,000 deliveries/s", ["fanout", "--rate", "40"], True),
    "fanout-qos1": (f"{FAN_OUT}, QoS 1, saturated", ["fanout", "--qos", "1", *AT_500], False),
    "fanout-ws": (f"{FAN_OUT}, QoS 0, saturated, WebSocket", ["fanout", "--transport", "ws", *AT_500], False),
    "pairs-qos0": (f"{PAIRS}, QoS 0, saturated", ["pairs", *AT_1], False),
    "pairs-qos1": (f"{PAIRS}, QoS 1, saturated", ["pairs", "--qos", "1", *AT_1], False),
    "pairs-qos2": (f"{PAIRS}, QoS 2, saturated", ["pairs", "--qos", "2", *AT_1], False),
    "pairs-qos0-rate": (f"{PAIRS}, QoS 0, 5,000/s", ["pairs", "--rate", "5000"], True),
    "pairs-qos1-rate": (f"{PAIRS}, QoS 1, 5,000/s", ["pairs", "--qos", "1", "--rate", "5000"], True),
    "fanin-qos0": (f"{FAN_IN}, QoS 0, saturated", ["fanin", *AT_1], False),
    "fanin-qos1": (f"{FAN_IN}, QoS 1, saturated", ["fanin", "--qos", "1", *AT_1], False),
    "fanin-qos0-rate": (f"{FAN_IN}, QoS 0, 5,000/s", ["fanin", "--rate", "5000"], True),
    "fanin-qos1-rate": (f"{FAN_IN}, QoS 1, 5,000/s", ["fanin", "--qos", "1", "--rate", "5000"], True),
    "wild": ("100,000 filters, mixed, saturated", ["wild", "--shape", "mixed"], True),
    "connect": ("19,000 idle connections, one subscription each", ["connect", "--conns", "19000"], False),
}

RERUNS_MAX = 2
START_S = 10
STOP_S = 10
FAULTS = ["lost", "duplicates", "order_errors", "stray", "stalls", "closed", "connect_errors", "subscribe_errors"]


def main():
    options = arguments()
    if options.again:
        return print(tables(kept(options.again)))
    # Being told to end is like Ctrl-C: the server under test is stopped first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = {}
    try:
        for name in options.scenario or SCENARIOS:
            results[name] = alternate(name, options)
    except KeyboardInterrupt:
        print("stopped; this is what there is so far", file=sys.stderr)
    print(tables(results))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=Path, help="the load generator")
    parser.add_argument("--hub", type=Path, help="the trefoil binary, built with --release")
    parser.add_argument("--mosquitto", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server per scenario (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds measured in a run (default 5)")
    parser.add_argument("--busy", type=float, default=0.5, metavar="CORES",
                        help="make a run again if other programs used more than this (default 0.5)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="append every result to FILE, a line of JSON each")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run nothing; print the tables of what was kept")
    options = parser.parse_args()
    if not options.again and None in [options.load, options.hub, options.mosquitto]:
        parser.error("--load, --hub and --mosquitto are needed, unless --again is given")
    return options


def alternate(name, options):
    """All runs of one scenario: a list of results for each server."""
    results = {"hub": [], "mosquitto": []}
    for round_number in range(options.rounds):
        order = ["hub", "mosquitto"] if round_number % 2 == 0 else ["mosquitto", "hub"]
        for server in order:
            # The least disturbed of the tries counts, even if none was quiet.
            tries = []
            while len(tries) <= RERUNS_MAX and (not tries or disturbance(tries[-1]) > options.busy):
                tries.append(run(server, name, options))
            result = min(tries, key=disturbance)
            results[server].append(result)
            said = f"{name} {server}: {cost(result):.2f} us, others {disturbance(result):.2f} cores"
            print(said + (f", tried {len(tries)} times" if len(tries) > 1 else ""), file=sys.stderr)
            if options.keep:
                with options.keep.open("a") as file:
                    file.write(json.dumps({"server": server, "name": name, **result}) + "\n")
    return results


def run(server, name, options):
    """One run with a fresh server."""
    load = SCENARIOS[name][1]
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        os.chmod(folder, 0o755)  # mosquitto started by root reads its configuration as another user
        port = free_port()
        command = start_command(server, "ws" in load, port, Path(folder), options)
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        try:
            wait_for(port, child)
            command = [options.load, *load, "--port", str(port), "--pid", str(child.pid), "--warmup", "1",
                       "--duration", str(options.seconds)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            return json.loads(done.stdout)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def start_command(server, over_websocket, port, folder, options):
    if server == "hub":
        config = folder / "trefoil.toml"
        config.write_text(f'[[listener]]\nbind = "127.0.0.1:{port}"\n[store]\npath = "{folder}/store"\n')
        return [options.hub, "serve", "--config", config]
    config = folder / "mosquitto.conf"
    # `socket_domain` belongs to the listener above it; before the first one it makes version 2.0.11 open port 1883 as
    # well. With no listener but one for WebSocket that version does not start.
    listeners = f"listener {port} 127.0.0.1\nsocket_domain ipv4\n"
    if over_websocket:
        listeners += f"protocol websockets\nlistener {free_port()} 127.0.0.1\nsocket_domain ipv4\n"
    config.write_text(listeners + "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_dest none\n")
    return [options.mosquitto, "-c", config]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, child):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            sys.exit(f"{child.args[0]} ended at once with {child.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{child.args[0]} does not listen after {START_S} s")


def cost(result):
    """Microseconds of the server's CPU time per message delivered (per connection made, in `connect`)."""
    if result["scenario"] == "connect":
        return result["broker_cpu_us_per_connect"]
    return result["broker_cpu_us_per_delivery"]


def disturbance(result):
    """Cores that neither the server nor the load generator used."""
    measured = result["connect"] if result["scenario"] == "connect" else result
    return measured["machine_other_cores"]


def kept(file):
    """The results that `--keep` wrote, as `alternate` returned them."""
    results = {}
    for line in file.read_text().splitlines():
        result = json.loads(line)
        runs = results.setdefault(result["name"], {"hub": [], "mosquitto": []})
        runs[result["server"]].append(result)
    return results


def tables(results):
    loads = {name: runs for name, runs in results.items() if name != "connect"}
    prompt = {name: runs for name, runs in loads.items() if SCENARIOS[name][2]}
    parts = []
    if loads:
        parts.append(table("load | CPU per delivered message, µs | ratio | delivered a second | ratio | others, cores",
                           [load_row(name, runs) for name, runs in loads.items()]))
    if prompt:
        parts.append(table("load | p50, ms | ratio | p99, ms | ratio",
                           [latency_row(name, runs) for name, runs in prompt.items()]))
    if "connect" in results:
        parts.append(table("19,000 connections, one subscription each | hub, mosquitto | ratio",
                           connect_rows(results["connect"])))
    return "\n\n".join(parts)


def table(head, rows):
    lines = [head.split(" | "), ["---"] * len(head.split(" | ")), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def load_row(name, runs):
    others = max(map(disturbance, runs["hub"] + runs["mosquitto"]))
    rate = compare(runs, lambda result: result["delivery_per_s"], 0)
    return [title(name, runs), *compare(runs, cost, 2), *rate, f"{others:.1f}"]


def latency_row(name, runs):
    return [title(name, runs), *compare(runs, lambda result: result["latency_us"]["p50"] / 1000, 2),
            *compare(runs, lambda result: result["latency_us"]["p99"] / 1000, 2)]


def connect_rows(runs):
    figures = {
        "memory per connection, bytes": (lambda result: result["rss_bytes_per_conn"] + result["rss_bytes_per_sub"], 0),
        "CPU per connection made, µs": (cost, 1),
        "CPU per subscription, µs": (lambda result: result["broker_cpu_us_per_subscribe"], 1),
        "CPU per receiver of one message to all, µs": (lambda r: r["broadcast"]["broker_cpu_us_per_delivery"], 1),
    }
    return [[what, *compare(runs, figure, digits)] for what, (figure, digits) in figures.items()]


def title(name, runs):
    """What the load is, and anything that went wrong under it."""
    faults = {f"{server}: {fault}" for server in runs for result in runs[server] for fault in FAULTS if result.get(fault)}
    return SCENARIOS[name][0] + (f" **({', '.join(sorted(faults))})**" if faults else "")


def compare(runs, figure, digits):
    """The medians of both servers, and their ratio with the lowest and the highest of a round."""
    hub, mosquitto = ([figure(result) for result in runs[server]] for server in ["hub", "mosquitto"])
    medians = statistics.median(hub), statistics.median(mosquitto)
    rounds = [a / b for a, b in zip(hub, mosquitto)]
    return [", ".join(f"{value:,.{digits}f}" for value in medians),
            f"**{medians[0] / medians[1]:.2f}** ({min(rounds):.2f} to {max(rounds):.2f})"]


if __name__ == "__main__":
    main()
