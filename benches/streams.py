#!/usr/bin/env python3
"""Compares the hub's streams with socat and with a bare splice loop: throughput, and CPU time for each GiB.

    cargo build --release -p trefoil
    cargo build --release -p trefoil-benches --example splice_loop
    benches/streams.py --hub target/release/trefoil --splice target/release/examples/splice_loop

One writer (sendfile) sends through each relay to one reader (which throws away what comes, without a copy), in turn: in each
round all take their turn, and who goes first changes from round to round. Then there are several streams at a time
through the hub, and one whose ends are WebSockets. The CPU time is that of the relay's process, its threads and
children. Tables have medians, and in brackets the lowest and the highest ratio of a round to the splice loop.
"""

import argparse
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def source(connection, total, chunk):
    """Sends so many bytes, and that there are no more."""
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(b"\xa5" * chunk)
        file.flush()
        left = total
        while left:
            left -= os.sendfile(connection.fileno(), file.fileno(), 0, min(chunk, left))
    connection.shutdown(socket.SHUT_WR)


def drain(connection, total):
    """Reads until the end without copying anything."""
    got, room = 0, bytearray(4 * MIB)
    while count := connection.recv_into(room, len(room), socket.MSG_TRUNC):
        got += count
    if got != total:
        raise AssertionError(f"{got} bytes of {total} came")


def move(pairs, total, chunk=MIB):
    """Moves bytes from each first to each second of the pairs; gives the seconds that it took."""
    failures = []

    def run(target, *arguments):
        try:
            target(*arguments)
        except Exception as error:
            failures.append(error)

    threads = []
    began = time.perf_counter()
    children = []
    for writer, reader in pairs:
        pid = os.fork()
        if pid == 0:
            try:
                source(writer, total, chunk)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(pid)
        threads.append(threading.Thread(target=run, args=(drain, reader, total)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    for pid in children:
        if os.waitpid(pid, 0)[1] != 0:
            failures.append(AssertionError("a writer failed"))
    if failures:
        raise failures[0]
    return took


class Hub:
    """The hub, which runs all the time."""

    name = "Trefoil"

    def __init__(self, program, folder):
        config = Path(folder) / "trefoil.toml"
        config.write_text('[[listener]]\nbind = "127.0.0.1:0"\n[store]\ndurability = "none"\n')
        self.process = subprocess.Popen([program, "serve", "--config", config], stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, cwd=folder)
        line = self.process.stdout.readline()
        self.port = int(line.split()[2].rsplit(":", 1)[1])

    def line(self, request, answers):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(json.dumps(request).encode() + b"\n")
        return connection, lambda: [self.read(connection) for _ in range(answers)]

    def read(self, connection):
        line = b""
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(answer)

    def pair(self, name):
        reader, listening = self.line({"listen": name, "once": True}, 1)
        listening()
        writer, joined = self.line({"connect": name}, 1)
        joined()
        self.read(reader)
        return writer, reader

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def run(self, total, chunk, streams=1):
        pairs = [self.pair(f"bench/{number}") for number in range(streams)]
        before = self.cpu_s()
        took = move(pairs, total // streams, chunk)
        cpu = self.cpu_s() - before
        for pair in pairs:
            for connection in pair:
                connection.close()
        return took, cpu

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Relay:
    """A program that carries one connection and ends."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def run(self, total, chunk, streams=1):
        server = socket.create_server(("127.0.0.1", 0))
        process, port = self.command(server.getsockname()[1])
        for _ in range(1000):
            try:
                writer = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                time.sleep(0.005)
        reader, _ = server.accept()
        took = move([(writer, reader)], total, chunk)
        writer.close()
        reader.close()
        server.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        return took, usage.ru_utime + usage.ru_stime


def splice_loop(program):
    def start(to):
        process = subprocess.Popen([program, f"127.0.0.1:{to}"], stdout=subprocess.PIPE, text=True)
        return process, int(process.stdout.readline())

    return Relay("splice loop", start)


def socat(buffer):
    def start(to):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return subprocess.Popen(["socat", "-b", str(buffer), f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr",
                                 f"TCP:127.0.0.1:{to}"]), port

    return Relay(f"socat -b {buffer}", start)


def table(title, results, base):
    print(f"\n{title}\n")
    print("| relay | MiB a second | of the splice loop | CPU s for each GiB | of the splice loop |")
    print("| --- | --- | --- | --- | --- |")
    for name, rounds in results.items():
        speed = [total / MIB / took for took, _, total in rounds]
        cost = [cpu / (total / GIB) for _, cpu, total in rounds]
        if base in results:
            floor = results[base]
            faster = [s / (t / MIB / f) for s, (f, _, t) in zip(speed, floor)]
            dearer = [c / max(cpu / (t / GIB), 1e-9) for c, (_, cpu, t) in zip(cost, floor)]
            ratios = [f"{statistics.median(r):.2f} ({min(r):.2f}–{max(r):.2f})" for r in (faster, dearer)]
        else:
            ratios = ["", ""]
        print(f"| {name} | {statistics.median(speed):,.0f} | {ratios[0]} | {statistics.median(cost):.3f} | {ratios[1]} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", required=True, type=Path)
    parser.add_argument("--splice", required=True, type=Path)
    parser.add_argument("--gib", type=float, default=4, help="what goes through each relay in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunk", type=int, default=MIB, help="what the writer hands over at a time")
    arguments = parser.parse_args()
    total = int(arguments.gib * GIB)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(arguments.hub.resolve(), folder)
        try:
            relays = [splice_loop(arguments.splice.resolve()), hub, socat(8192), socat(131072)]
            results = {relay.name: [] for relay in relays}
            for number in range(arguments.rounds):
                for relay in relays[number % len(relays):] + relays[:number % len(relays)]:
                    took, cpu = relay.run(total, arguments.chunk)
                    results[relay.name].append((took, cpu, total))
            table(f"One stream, {arguments.gib:g} GiB in each of {arguments.rounds} rounds", results, "splice loop")
            for streams in (8, 64):
                rounds = []
                for _ in range(arguments.rounds):
                    took, cpu = hub.run(total, arguments.chunk, streams)
                    rounds.append((took, cpu, total // streams * streams))
                table(f"{streams} streams at a time through the hub", {"Trefoil": rounds}, "")
        finally:
            hub.stop()


if __name__ == "__main__":
    main()
