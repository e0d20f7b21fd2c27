#!/usr/bin/env python3
"""Compares `trefoil send` and `receive` with a plain stream: the same bytes from a file into a file.

    cargo build --release -p trefoil
    benches/files.py --hub target/release/trefoil

In each round both take their turn through the same hub, and who goes first changes from round to round:
`trefoil connect < FILE` to `trefoil listen > FILE`, and `trefoil send FILE` to `trefoil receive`. The listening end is
ready before the clock starts. What arrived is compared with what was sent, outside of the time. CPU is that of both
ends, not of the hub. With --small a folder of many small files is sent as well, for which a plain stream has no word.
"""

import argparse
import filecmp
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


class Hub:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        config = folder / "trefoil.toml"
        config.write_text('[[listener]]\nbind = "127.0.0.1:0"\n[store]\ndurability = "none"\n')
        self.process = subprocess.Popen([program, "serve", "--config", config], stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, cwd=folder)
        port = self.process.stdout.readline().split()[2].rsplit(":", 1)[1]
        self.environment = os.environ | {"TREFOIL_URL": f"tcp://127.0.0.1:{port}"}

    def start(self, *arguments, **pipes):
        return subprocess.Popen([self.program, *arguments], env=self.environment, cwd=self.folder, **pipes)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def ended(processes):
    """Waits for the ends; gives the CPU time that they took."""
    cpu = 0
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise AssertionError(f"{process.args} ended with {process.returncode}")
        cpu += usage.ru_utime + usage.ru_stime
    return cpu


def stream(hub, source, target, turn):
    """From a file into a file by a plain stream."""
    with open(target, "wb") as output, open(source, "rb") as given:
        listener = hub.start("listen", f"bench/{turn}", stdout=output, stderr=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL)
        time.sleep(0.5)
        began = time.perf_counter()
        caller = hub.start("connect", f"bench/{turn}", stdin=given, stdout=subprocess.DEVNULL)
        cpu = ended([caller, listener])
        return time.perf_counter() - began, cpu


def files(hub, source, target, turn):
    """The same encrypted, by its name."""
    code = f"{turn + 1}-amber-canoe"
    sender = hub.start("send", "--quiet", "--code", code, source, stdout=subprocess.PIPE)
    sender.stdout.readline()
    time.sleep(0.5)
    began = time.perf_counter()
    receiver = hub.start("receive", "--quiet", "--yes", code, "--output", target.parent / "received")
    cpu = ended([receiver, sender])
    took = time.perf_counter() - began
    os.rename(target.parent / "received" / source.name, target)
    return took, cpu


def compare(hub, source, rounds):
    """Both in turn; gives what each took in each round."""
    ways = [("plain stream", stream), ("send and receive", files)]
    results = {name: [] for name, _ in ways}
    for turn in range(rounds):
        for name, way in ways[turn % 2:] + ways[:turn % 2]:
            target = hub.folder / "target"
            results[name].append(way(hub, source, target, turn))
            if not filecmp.cmp(source, target, shallow=False):
                raise AssertionError(f"{name}: what arrived is not what was sent")
            target.unlink()
    return results


def table(results, size):
    print("| way | MiB a second | of the plain stream | CPU s for each GiB at both ends | of the plain stream |")
    print("| --- | --- | --- | --- | --- |")
    base = results["plain stream"]
    for name, rounds in results.items():
        faster = [plain / took for (took, _), (plain, _) in zip(rounds, base)]
        dearer = [cpu / plain for (_, cpu), (_, plain) in zip(rounds, base)]
        ratios = [f"{statistics.median(r):.2f} ({min(r):.2f}–{max(r):.2f})" for r in (faster, dearer)]
        speed = statistics.median(size / MIB / took for took, _ in rounds)
        cost = statistics.median(cpu / (size / GIB) for _, cpu in rounds)
        print(f"| {name} | {speed:,.0f} | {ratios[0]} | {cost:.2f} | {ratios[1]} |")


def small(hub, count):
    folder = hub.folder / "small"
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).write_bytes(str(number).encode() * 50)
    took, _ = files(hub, folder, hub.folder / "target", 0)
    shutil.rmtree(hub.folder / "target")
    print(f"\n{count:,} files of some 200 bytes: {count / took:,.0f} a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", required=True, type=Path)
    parser.add_argument("--mib", type=int, default=1024, help="how large the file is")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", type=int, default=0, help="so many small files as well")
    parser.add_argument("--folder", default="/dev/shm", help="where the files are; in memory unless said otherwise")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        source = folder / "source"
        with open(source, "wb") as file:
            for _ in range(arguments.mib):
                file.write(os.urandom(MIB))
        hub = Hub(arguments.hub.resolve(), folder)
        try:
            table(compare(hub, source, arguments.rounds), arguments.mib * MIB)
            if arguments.small:
                small(hub, arguments.small)
        finally:
            hub.stop()


if __name__ == "__main__":
    main()
