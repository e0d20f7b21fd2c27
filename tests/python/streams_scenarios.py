"""Streams between `websockets` or asyncio and a plain socket."""

import asyncio
import hashlib
import json
import os
import socket

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from rig import DEADLINE_S, HOST, equal, main


class Lines:
    """A plain socket that speaks lines until it is an end of a stream."""

    def __init__(self, hub):
        self.socket = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
        # Without a buffer, so that no byte behind a line is read with it.
        self.reader = self.socket.makefile("rb", buffering=0)

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.hear()

    def hear(self):
        return json.loads(self.reader.readline())


def websocket_and_socket(hub):
    """A WebSocket is either end; bytes come as binary frames, in order; ends and errors are said."""
    try:
        with connect(f"ws://{HOST}:{hub.http}/stream/nobody", proxy=None) as nobody:
            equal(json.loads(nobody.recv(timeout=DEADLINE_S))["error"]["code"], "no_listener")
            nobody.recv(timeout=DEADLINE_S)
            raise AssertionError("it is not closed")
    except ConnectionClosed as closed:
        equal(closed.rcvd.code, 4404)
    for listens in (True, False):
        device = Lines(hub)
        if listens:
            equal(device.ask(listen="device/ü", once=True), {"listen": "device/ü"})
        path = "/stream/device/%C3%BC" + ("" if listens else "?listen")
        with connect(f"ws://{HOST}:{hub.http}{path}", proxy=None, max_size=None) as browser:
            if not listens:
                equal(json.loads(browser.recv(timeout=DEADLINE_S)), {"listen": "device/ü"})
                equal(device.ask(connect="device/ü"), {"stream": "device/ü"})
            equal(json.loads(browser.recv(timeout=DEADLINE_S))["stream"], "device/ü")
            if listens:
                equal(device.hear()["stream"], "device/ü")
            data = os.urandom(1_000_000)
            browser.send(data)
            # In fragments, too.
            browser.send([data[:10], data[10:500_000], data[500_000:]])
            browser.send(json.dumps({"end": True}))
            equal(hashlib.sha256(read_all(device)).digest(), hashlib.sha256(data * 2).digest())
            device.socket.sendall(data)
            device.socket.shutdown(socket.SHUT_WR)
            found = b""
            while not isinstance(part := browser.recv(timeout=DEADLINE_S), str):
                found += part
            equal(found == data, True)
            equal(json.loads(part), {"end": True})
            try:
                browser.recv(timeout=DEADLINE_S)
                raise AssertionError("it is not closed")
            except ConnectionClosed as closed:
                equal(closed.rcvd.code, 1000)


def read_all(device):
    parts = []
    while part := device.reader.read(1 << 16):
        parts.append(part)
    return b"".join(parts)


async def asyncio_at_both_ends(hub):
    """Fifty streams at a time, each with its own bytes, through one who is told of callers."""
    control_reader, control = await asyncio.open_connection(HOST, hub.tcp)
    control.write(b'{"listen":"many","id":1}\n')
    equal(json.loads(await control_reader.readline()), {"listen": "many", "ack": 1})

    async def accept():
        call = json.loads(await control_reader.readline())
        reader, writer = await asyncio.open_connection(HOST, hub.tcp)
        writer.write(json.dumps({"accept": call["token"]}).encode() + b"\n")
        equal(json.loads(await reader.readline())["stream"], "many")
        return asyncio.ensure_future(echo(reader, writer))

    async def echo(reader, writer):
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
        writer.write_eof()

    async def call():
        reader, writer = await asyncio.open_connection(HOST, hub.tcp)
        writer.write(b'{"connect":"many"}\n')
        equal(json.loads(await reader.readline()), {"stream": "many"})
        data = os.urandom(100_000)
        writer.write(data)
        writer.write_eof()
        equal(await reader.read() == data, True)

    callers = [asyncio.ensure_future(call()) for _ in range(50)]
    echoes = [await accept() for _ in callers]
    await asyncio.gather(*callers, *echoes)


if __name__ == "__main__":
    main(globals())
