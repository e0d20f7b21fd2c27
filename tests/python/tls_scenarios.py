"""Python's ssl, http.client, paho and `websockets` against the hub over TLS. The file of who vouches for it is TREFOIL_CA."""

import http.client
import json
import os
import queue
import socket
import ssl

import paho.mqtt.client as paho
from websockets.sync.client import connect

from rig import DEADLINE_S, HOST, equal, main


def context():
    return ssl.create_default_context(cafile=os.environ["TREFOIL_CA"])


def sealed(hub):
    """A TLS connection."""
    plain = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
    return context().wrap_socket(plain, server_hostname="localhost")


class Pieces:
    """A TLS connection whose bytes pass through our hands."""

    def __init__(self, hub, size=None, before=b""):
        self.socket = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(before)
        self.size = size
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.drive(self.tls.do_handshake)

    def drive(self, what, *arguments):
        while True:
            try:
                result = what(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                some = self.socket.recv(65536)
                self.incoming.write(some) if some else self.incoming.write_eof()

    def flush(self):
        out = self.outgoing.read()
        size = self.size or max(1, len(out))
        for at in range(0, len(out), size):
            self.socket.sendall(out[at : at + size])

    def ask(self, text):
        self.drive(self.tls.write, text)
        return self.drive(self.tls.read, 65536)


def ended(stream):
    """Waits until the other side has closed, whatever it says before."""
    try:
        while stream.recv(65536):
            pass
    except ConnectionError:
        pass


def websocket(hub):
    """A WebSocket over TLS subscribes and gets what it publishes."""
    url = f"wss://localhost:{hub.tcp}/ws"
    with connect(url, ssl=context(), proxy=None) as connection:
        connection.send(json.dumps({"sub": "room/#", "id": 1}))
        equal(json.loads(connection.recv(timeout=DEADLINE_S))["ack"], 1)
        text = "x" * 100_000
        connection.send(json.dumps({"pub": "room/ws", "data": text}))
        equal(json.loads(connection.recv(timeout=DEADLINE_S)), {"topic": "room/ws", "data": text})


def lines(hub):
    """JSON lines over TLS; whoever says that it sends no more still gets its answer, and then the end."""
    with Pieces(hub).socket:
        pass
    pieces = Pieces(hub)
    pieces.drive(pieces.tls.write, b'{"ping":1}\n{"pub":"t","data":1,"qos":1,"id":2}\n{"ping":3}')
    # Half of a close: close_notify, and the socket stays open.
    try:
        pieces.tls.unwrap()
    except ssl.SSLWantReadError:
        pieces.flush()
    found = b""
    while True:
        some = pieces.socket.recv(65536)
        if not some:
            break
        pieces.incoming.write(some)
        try:
            while more := pieces.tls.read(65536):
                found += more
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
    equal([json.loads(line) for line in found.splitlines()], [{"pong": 1}, {"ack": 2}, {"pong": 3}])


def http_and_back(hub):
    """Requests one after the other over one connection, first beside the shards and then events on a shard."""
    connection = http.client.HTTPSConnection("localhost", hub.tcp, context=context(), timeout=DEADLINE_S)
    for number in range(3):
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        equal((response.status, json.loads(response.read())["status"]), (200, "ok"))
        body = json.dumps({"topic": "kept", "data": "y" * 200_000 + str(number), "retain": True})
        connection.request("POST", "/api/v1/publish", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        equal(response.status, 200)
        response.read()
    connection.request("GET", "/sse?topic=kept")
    response = connection.getresponse()
    equal(response.status, 200)
    data = next(line for line in iter(response.readline, b"") if line.startswith(b"data:"))
    equal(json.loads(data[5:])["data"], "y" * 200_000 + "2")


def large_messages(hub):
    """Messages of many records, there and back."""
    with sealed(hub) as stream:
        file = stream.makefile("rwb")
        file.write(b'{"sub":"large","id":1}\n')
        file.flush()
        equal(json.loads(file.readline())["ack"], 1)
        for size in [1, 16_000, 16_384, 16_385, 100_000, 500_000]:
            # Not all digits, which would come back as a number.
            text = "x" + os.urandom(size // 2 + 1).hex()
            file.write(json.dumps({"pub": "large", "data": text}).encode() + b"\n")
            file.flush()
            equal(json.loads(file.readline())["data"], text)


def a_slow_reader(hub):
    """Somebody who reads nothing for a while gets everything that is acknowledged, in order."""
    messages = 200
    reader = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
    reader = context().wrap_socket(reader, server_hostname="localhost")
    slow = reader.makefile("rwb")
    slow.write(b'{"sub":"slow","qos":1,"id":1}\n')
    slow.flush()
    equal(json.loads(slow.readline())["ack"], 1)
    with sealed(hub) as stream:
        file = stream.makefile("rwb")
        for number in range(messages):
            text = str(number) + "z" * 30_000
            file.write(json.dumps({"pub": "slow", "data": text, "qos": 1, "id": number}).encode() + b"\n")
            file.flush()
            equal(json.loads(file.readline()), {"ack": number})
    for number in range(messages):
        message = json.loads(slow.readline())
        equal(message["data"], str(number) + "z" * 30_000)
        slow.write(json.dumps({"ack": message["id"]}).encode() + b"\n")
        slow.flush()


def behind_a_proxy(hub):
    """The header of the PROXY protocol, and TLS behind it."""
    pieces = Pieces(hub, before=b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n")
    equal(pieces.ask(b'{"ping":1}\n'), b'{"pong":1}\n')
    # Also when both come at once, and in pieces.
    pieces = Pieces(hub, size=7, before=b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n")
    equal(pieces.ask(b'{"ping":2}\n'), b'{"pong":2}\n')


def byte_by_byte(hub):
    """Every byte of the handshake and of what follows in a segment of its own."""
    pieces = Pieces(hub, size=1)
    equal(pieces.ask(b'{"ping":1}\n'), b'{"pong":1}\n')


def a_handshake_and_no_word(hub):
    """Whoever says nothing after the handshake is given up as without TLS."""
    ended(Pieces(hub).socket)


def garbage_behind_the_handshake(hub):
    """Bytes that nobody has sealed."""
    pieces = Pieces(hub)
    equal(pieces.ask(b'{"ping":1}\n'), b'{"pong":1}\n')
    pieces.socket.sendall(b"\x17\x03\x03\x00\x20" + os.urandom(32))
    ended(pieces.socket)
    pieces = Pieces(hub)
    pieces.socket.sendall(b'{"ping":1}\n' * 3)
    ended(pieces.socket)


def many_empty_records(hub):
    """Records with nothing in them hold up nobody, and what comes behind them is heard."""
    maximum = 20_000
    server = ssl.create_default_context(cafile=os.environ["TREFOIL_CA"])
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
    stream = server.wrap_socket(plain, server_hostname="localhost")
    stream.send(b'{"ping":0}\n')
    equal(stream.recv(65536), b'{"pong":0}\n')
    for _ in range(maximum // 100):
        # OpenSSL makes no empty records, so that one byte has to do.
        for byte in b" " * 60:
            stream.send(bytes([byte]))
        stream.send(b"\n")
    stream.send(b'{"ping":1}\n')
    equal(stream.recv(65536), b'{"pong":1}\n')


def a_goodbye_and_more(hub):
    """What comes behind close_notify is not heard."""
    pieces = Pieces(hub)
    equal(pieces.ask(b'{"ping":1}\n'), b'{"pong":1}\n')
    try:
        pieces.tls.unwrap()
    except ssl.SSLWantReadError:
        pieces.flush()
    try:
        pieces.socket.sendall(os.urandom(1000))
    except ConnectionError:
        pass
    ended(pieces.socket)


def a_will(hub):
    """A client whose socket goes away has its will published."""
    heard = queue.Queue()
    watcher = paho.Client(paho.CallbackAPIVersion.VERSION2)
    watcher.tls_set(os.environ["TREFOIL_CA"])
    watcher.on_message = lambda _, __, message: heard.put(message.payload)
    watcher.on_subscribe = lambda *_: heard.put("subscribed")
    watcher.connect("localhost", hub.tcp)
    watcher.loop_start()
    watcher.subscribe("will")
    equal(heard.get(timeout=DEADLINE_S), "subscribed")
    pieces = Pieces(hub)
    # CONNECT of MQTT 3.1.1 with the will "gone" on "will".
    name, topic, will = b"\x00\x01w", b"\x00\x04will", b"\x00\x04gone"
    body = b"\x00\x04MQTT\x04\x06\x00\x3c" + name + topic + will
    equal(pieces.ask(bytes([0x10, len(body)]) + body), b"\x20\x02\x00\x00")
    pieces.socket.close()
    equal(heard.get(timeout=DEADLINE_S), b"gone")
    watcher.loop_stop()
    watcher.disconnect()


if __name__ == "__main__":
    main(globals())
