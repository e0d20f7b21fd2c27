#!/usr/bin/env python3
"""How long a hub takes to be there again after a kill, with much in its store.

    cargo build --release -p trefoil && cargo build --release -p trefoil-benches --example durable_load
    benches/recovery.py --hub target/release/trefoil

Retains a million messages, queues a million for ten thousand sessions that are away, and kills the hub. Then starts it
until it answers a client: with what the system still has in memory, and, as root, with the files read from the disk.
"""

import argparse
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from compaction import figures
from compare import free_port, wait_for
from durable import cpu_seconds, hub_command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", type=Path, required=True)
    parser.add_argument("--many", type=Path, default=Path("target/release/examples/durable_load"))
    parser.add_argument("--retained", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("target"), help="where the hub keeps its store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recovery-", dir=options.folder) as folder:
        port, http = free_port(), free_port()
        command = hub_command(options.hub, folder, port, http)
        child, _ = start(command, port)
        load = [options.many, "--port", port, "--publishers", 10, "--window", 100, "--seconds", 600]
        for more in [["--sessions", 0, "--topics", options.retained, "--count", options.retained],
                     ["--sessions", options.sessions, "--count", options.queued]]:
            subprocess.run([str(part) for part in [*load, *more]], check=True, stdout=subprocess.DEVNULL)
        print(f"{figures(http)['disk'] / 1e6:,.0f} MB in the store")
        for cold in [False, True] if os.geteuid() == 0 else [False]:
            for _ in range(options.starts):
                child.kill()
                child.wait()
                if cold:
                    os.sync()
                    Path("/proc/sys/vm/drop_caches").write_text("3")
                child, took_s = start(command, port)
                print(f"{'from the disk' if cold else 'from memory'}: {took_s:.2f} s, "
                      f"{cpu_seconds(child.pid):.2f} s of CPU time, {resident_mb(child.pid):,.0f} MB resident")
        child.send_signal(signal.SIGTERM)
        child.wait(60)


def start(command, port):
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, child)
    # The system takes connections as soon as there is a socket; the hub is there when it answers.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03see")
        assert client.recv(4) == b"\x20\x02\x00\x00"
    return child, time.monotonic() - began


def resident_mb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
