"""The JSON protocol over WebSocket, lines and datagrams: as small as a client can be, on the standard library
and `websockets`."""

import base64
import json
import queue
import socket
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from rig import DEADLINE_S, HOST

_decoder = json.JSONDecoder()


def members(text):
    """The members of an object as the text that stands in it, so that JSON payloads compare byte for byte."""
    found = {}
    at = 1
    while text[at] != "}":
        key, at = _decoder.raw_decode(text, at)
        start = at + 1
        _value, at = _decoder.raw_decode(text, start)
        found[key] = text[start:at]
        at += text[at] == ","
    return found


def payload_of(message):
    """The payload of a message, given as its members."""
    if "data_base64" in message:
        return base64.b64decode(json.loads(message["data_base64"]), validate=True)
    data = message.get("data", '""')
    return (json.loads(data) if data.startswith('"') else data).encode()


def payload_members(payload):
    """How a payload is written into a publish."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return '"data_base64":' + json.dumps(base64.b64encode(payload).decode())
    try:
        is_json = not isinstance(json.loads(text), str)
    except ValueError:
        is_json = False
    return '"data":' + (text if is_json else json.dumps(text))


class WebSocket:
    def __init__(self, hub):
        self.connection = connect(f"ws://{HOST}:{hub.http}/ws", compression=None, proxy=None, max_size=None)

    def send(self, text):
        self.connection.send(text)

    def receive(self):
        """The next text, None at the end of the connection."""
        try:
            return self.connection.recv()
        except ConnectionClosed:
            return None

    def close(self):
        self.connection.close()


class Lines:
    def __init__(self, hub):
        self.socket = socket.create_connection((HOST, hub.tcp))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def receive(self):
        try:
            return self.reader.readline().decode() or None
        except OSError:
            return None

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Datagrams:
    def __init__(self, hub):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.socket.connect((HOST, hub.udp))

    def send(self, text):
        self.socket.send(text.encode())

    def receive(self):
        # No datagram of the protocol is empty; shutting the socket down reads as one.
        return self.socket.recv(65536).decode() or None

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)


class Link:
    """A connection whose answers and messages are read as they come; messages are acknowledged."""

    def __init__(self, transport):
        self.transport = transport
        self.messages = queue.Queue()
        self.answers = queue.Queue()
        self.seen = set()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while (text := self.transport.receive()) is not None:
            found = members(text.strip())
            if "topic" not in found:
                self.answers.put(found)
                continue
            if "id" in found:
                self.transport.send('{"ack":%s}' % found["id"])
                # Over UDP a message may come again when its acknowledgement was late; it says so.
                if found["id"] in self.seen and found.get("dup") == "true":
                    continue
                self.seen.add(found["id"])
            self.messages.put(found)
        self.answers.put({"closed": "true"})

    def ask(self, text):
        """Sends a request and gives the answer."""
        self.transport.send(text)
        return self.answers.get(timeout=DEADLINE_S)

    def message(self):
        return self.messages.get(timeout=DEADLINE_S)

    def close(self):
        self.transport.close()
        self.reader.join(DEADLINE_S)
