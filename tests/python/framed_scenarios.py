"""Raw sockets whose bytes are cut into frames, with an MQTT client on the other side.

The environment names the port of each framed listener: FRAMED="line=4001,slip=4002,…". The listeners publish to
up/NAME and are subscribed to down/NAME, unless their name says that they are for something else.
"""

import json
import os
import re
import socket
import time
import urllib.request

from rig import DEADLINE_S, HOST, Client, equal, main

PORTS = {name: int(port) for name, port in (entry.split("=") for entry in os.environ["FRAMED"].split(","))}

SLIP_FRAME = b"\xc0a\xdb\xdcb\xdb\xddc\xc0"
COBS_FRAME = b"\x03ab\x02c\x00"

# What is sent, in pieces; the frames that it is; what is sent to the device, and how that looks on the wire.
FRAMINGS = {
    "line": ([b"on", b"e\r\ntwo\n\nth", b"ree\n"], [b"one", b"two", b"three"], b"down", b"down\n"),
    "delimiter": ([b"one|", b"|two||"], [b"one", b"two"], b"down", b"down||"),
    "return": ([b"one\rtwo", b"\r"], [b"one", b"two"], b"down", b"down\r"),
    "u8": ([b"\x03on", b"e\x02ab\x00"], [b"one", b"ab"], b"down", b"\x04down"),
    "u16be": ([b"\x00", b"\x03one\x00\x02ab"], [b"one", b"ab"], b"down", b"\x00\x04down"),
    "u16le_own": ([b"\x05\x00one", b"\x04\x00ab"], [b"one", b"ab"], b"down", b"\x06\x00down"),
    "u32be": ([b"\x00\x00\x00\x03one"], [b"one"], b"down", b"\x00\x00\x00\x04down"),
    "u32le": ([b"\x03\x00\x00\x00one"], [b"one"], b"down", b"\x04\x00\x00\x00down"),
    "varint": ([b"\x81\x01" + b"x" * 129], [b"x" * 129], b"y" * 130, b"\x82\x01" + b"y" * 130),
    "modbus": ([b"\x00\x01\x00\x00\x00\x03\x01", b"\x83\x02"], [b"\x00\x01\x00\x00\x00\x03\x01\x83\x02"],
               b"\x00\x02\x00\x00\x00\x02\x01\x11", b"\x00\x02\x00\x00\x00\x02\x01\x11"),
    "fixed": ([b"ab", b"cdefgh"], [b"abcd", b"efgh"], b"down", b"down"),
    "idle_gap": ([b"one"], [b"one"], b"down", b"down"),
    "slip": ([SLIP_FRAME[:4], SLIP_FRAME[4:]], [b"a\xc0b\xdbc"], b"\xc0", b"\xc0\xdb\xdc\xc0"),
    "cobs": ([COBS_FRAME[:3], COBS_FRAME[3:]], [b"ab\x00c"], b"\x00", b"\x01\x01\x00"),
    "stx": ([b"noise\x02one\x03\x02two", b"\x03"], [b"one", b"two"], b"down", b"\x02down\x03"),
}


class Device:
    """A device on a plain socket."""

    def __init__(self, name, source=None):
        self.socket = socket.create_connection((HOST, PORTS[name]), DEADLINE_S, source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)

    def receive(self, count):
        """So many bytes, or those before the end."""
        found = b""
        while len(found) < count and (more := self.socket.recv(count - len(found))):
            found += more
        return found

    def close(self):
        self.socket.close()


def figures(hub):
    with urllib.request.urlopen(f"http://{HOST}:{hub.http}/metrics") as answer:
        return answer.read().decode()


def figure(hub, name):
    """One line of the metrics page."""
    found = re.search(rf"^trefoil_{re.escape(name)} (\S+)$", figures(hub), re.MULTILINE)
    return int(found[1]) if found else None


def until(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.01)


def faults(hub, reason):
    return figure(hub, f'framed_faults_total{{reason="{reason}"}}')


def watcher(hub, *topics):
    client = Client(hub).start()
    for topic in topics:
        client.subscribe(topic)
    return client


def status(message):
    """What a status message says, in short."""
    equal(message.retain, False)
    return json.loads(message.payload)


def every_framing_both_ways(hub):
    mqtt = watcher(hub, "up/#")
    for name, (pieces, frames, down, wire) in FRAMINGS.items():
        device = Device(name)
        for piece in pieces:
            device.send(piece)
        found = [mqtt.message() for _ in frames]
        equal([(message.topic, message.payload) for message in found], [(f"up/{name}", frame) for frame in frames])
        # It has been heard, so it is subscribed.
        mqtt.publish(f"down/{name}", down)
        equal(device.receive(len(wire)), wire)
        # At QoS 0 messages go another way.
        mqtt.publish(f"down/{name}", down, qos=0)
        mqtt.publish(f"down/{name}", down, qos=0)
        equal(device.receive(2 * len(wire)), 2 * wire)
        device.close()
    equal(figure(hub, 'dropped_total{reason="unframed"}'), 0)


def byte_by_byte(hub):
    mqtt = watcher(hub, "up/#")
    for name, (pieces, frames, _down, _wire) in FRAMINGS.items():
        if name == "idle_gap":
            continue
        device = Device(name)
        for byte in b"".join(pieces):
            device.send(bytes([byte]))
        equal([mqtt.message().payload for _ in frames], frames)
        device.close()


def what_a_framing_cannot_carry(hub):
    mqtt = watcher(hub, "up/#")
    device = Device("line")
    device.send(b"here\n")
    equal(mqtt.message().payload, b"here")
    unframed = figure(hub, 'dropped_total{reason="unframed"}')
    too_large = figure(hub, 'dropped_total{reason="too_large"}')
    for qos in (0, 1):
        mqtt.publish("down/line", b"two\nlines", qos=qos)
        mqtt.publish("down/line", b"x" * 101, qos=qos)
        mqtt.publish("down/line", b"right", qos=qos)
        equal(device.receive(6), b"right\n")
    equal(figure(hub, 'dropped_total{reason="unframed"}'), unframed + 2)
    equal(figure(hub, 'dropped_total{reason="too_large"}'), too_large + 2)


def frames_that_are_too_long(hub):
    mqtt = watcher(hub, "up/#")
    before = faults(hub, "too_long")
    device = Device("line")
    device.send(b"x" * 200_000, b"\nright\n")
    equal(mqtt.message().payload, b"right")
    equal(faults(hub, "too_long"), before + 1)
    # There is no way back from a wrong length.
    device = Device("u32be")
    device.send(b"\x00\x00\x00\x01a\xff\xff\xff\xff")
    equal(mqtt.message().payload, b"a")
    equal(device.receive(1), b"")
    equal(faults(hub, "too_long"), before + 2)
    # Unless frames begin with a mark.
    device = Device("marked")
    device.send(b"..\x7e\xff\x7e\x02ok")
    equal(mqtt.message().payload, b"ok")
    equal(faults(hub, "false_start"), 1)


def the_last_frame_of_a_stream(hub):
    mqtt = watcher(hub, "up/#")
    device = Device("line")
    device.send(b"one\nlast")
    device.socket.shutdown(socket.SHUT_WR)
    equal(mqtt.payloads(2), [b"one", b"last"])
    equal(device.receive(1), b"")


def registration(hub):
    mqtt = watcher(hub, "reg/#")
    device = Device("register")
    device.send(b"HELLO press/7 hall+2 s3cret\ntemp 21.5\nnothing\nload 3\n")
    equal([(m.topic, m.payload) for m in (mqtt.message(), mqtt.message())],
          [("reg/press_7/hall_2/temp", b"temp 21.5"), ("reg/press_7/hall_2/load", b"load 3")])
    equal(faults(hub, "no_match"), 1)
    mqtt.publish("reg/press_7/down", b"go")
    equal(device.receive(3), b"go\n")
    equal(mqtt.message().payload, b"go")
    # What it says again of itself is no message, for everybody would read the secret; and nobody becomes another one.
    device.send(b"HELLO press/7 hall+2 s3cret\ntemp 22\n", b"HELLO other hall s3cret\ntemp 99\n")
    equal((message := mqtt.message()).payload, b"temp 22")
    equal(message.topic, "reg/press_7/hall_2/temp")
    equal(device.receive(1), b"")
    equal(faults(hub, "refused"), 1)
    # Who says something else, or a wrong secret, is out.
    for first in (b"GET / HTTP/1.1\n", b"HELLO other hall wrong\n"):
        stranger = Device("register")
        stranger.send(first)
        equal(stranger.receive(1), b"")
    equal((faults(hub, "unregistered"), faults(hub, "wrong_secret")), (1, 1))
    equal(figure(hub, "auth_failures_total"), 1)


def too_many_wrong_secrets(hub):
    for _ in range(3):
        stranger = Device("register")
        stranger.send(b"HELLO a b wrong\n")
        equal(stranger.receive(1), b"")
    # From now on nothing that comes from here is looked at, however right.
    device = Device("register")
    equal(device.receive(1), b"")
    equal(figure(hub, "auth_failures_total"), 3)
    until("attempts are throttled", lambda: figure(hub, "auth_throttled_total") >= 1)


def users_and_passwords(hub):
    mqtt = Client(hub)
    mqtt.paho.username_pw_set("ann", "secret")
    mqtt.start().subscribe("user/#")
    device = Device("user")
    device.send(b"bob meter-1 hunter2\nreading\n")
    message = mqtt.message()
    equal((message.topic, message.payload), ("user/meter-1", b"reading"))
    # Its password is nobody else's business, however often it says it.
    device.send(b"bob meter-1 hunter2\nthree words long\n")
    equal(mqtt.message().payload, b"three words long")
    stranger = Device("user")
    stranger.send(b"bob meter-2 wrong\nreading\n")
    equal(stranger.receive(1), b"")
    equal(faults(hub, "wrong_secret"), 1)


def silence_instead_of_a_registration(hub):
    device = Device("register")
    equal(device.receive(1), b"")
    equal(faults(hub, "unregistered"), 1)


def one_client_id_one_connection(hub):
    mqtt = watcher(hub, "reg/#")
    first = Device("register")
    first.send(b"HELLO press hall s3cret\na 1\n")
    equal(mqtt.message().payload, b"a 1")
    second = Device("register")
    second.send(b"HELLO press hall s3cret\nb 2\n")
    equal(mqtt.message().payload, b"b 2")
    equal(first.receive(1), b"")
    mqtt.publish("reg/press/down", b"go")
    equal(second.receive(3), b"go\n")


def telnet(hub):
    mqtt = watcher(hub, "up/telnet")
    device = Device("telnet")
    # WILL ECHO, DO SUPPRESS-GO-AHEAD, what COM-PORT-OPTION (RFC 2217) has to say, and data around them.
    device.send(b"\xff\xfb\x01on", b"\xff", b"\xfd\x03e\xff\xfa\x2c\x01\xff", b"\xf0\r\ntw\xff\xffo\r\n")
    equal(mqtt.payloads(2), [b"one", b"tw\xffo"])
    equal(device.receive(6), b"\xff\xfe\x01\xff\xfc\x03")
    mqtt.publish("down/telnet", b"a\xffb\rc")
    equal(device.receive(9), b"a\xff\xffb\r\0c\r\n")


def heartbeats_and_blanks(hub):
    mqtt = watcher(hub, "up/nmea/#")
    device = Device("nmea")
    device.send(b"PING\r\n\r\n??$GPRMC,1*00\r\nnoise\r\n  $GPGGA,2*00  \r\n")
    equal([(m.topic, m.payload) for m in (mqtt.message(), mqtt.message())],
          [("up/nmea/GPRMC", b"$GPRMC,1*00"), ("up/nmea/GPGGA", b"$GPGGA,2*00")])
    equal(figure(hub, "framed_skipped_bytes_total"), 4 + 2 + 5 + 2)


def status_topic(hub):
    mqtt = watcher(hub, "status/#")
    device = Device("status")
    local = "{}:{}".format(*device.socket.getsockname())
    online = status(mqtt.message())
    equal(online, {"status": "online", "client": "meter", "peer": local, "listener": "status"})
    # It is retained.
    late = watcher(hub, "status/#").message()
    equal((late.retain, json.loads(late.payload)["status"]), (True, "online"))
    device.close()
    equal((status(mqtt.message())["status"]), "offline")
    device = Device("status")
    equal(status(mqtt.message())["status"], "online")
    # A reset.
    device.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    device.close()
    equal(status(mqtt.message()), {**online, "status": "lost",
                                   "peer": status_peer(mqtt, hub)})


def status_peer(_mqtt, hub):
    """What is retained says the same."""
    late = watcher(hub, "status/#").message()
    return json.loads(late.payload)["peer"]


def idle_connections_end(hub):
    mqtt = watcher(hub, "status/idle")
    device = Device("idle")
    equal(status(mqtt.message())["status"], "online")
    equal(device.receive(1), b"")
    equal(status(mqtt.message())["status"], "lost")


def what_is_published(hub):
    mqtt = watcher(hub, "kept/#")
    device = Device("kept")
    device.send(b"21.5\n")
    message = mqtt.message()
    equal((message.payload, message.retain), (b"21.5", False))
    late = Client(hub).start()
    late.subscribe("kept/#", qos=1)
    message = late.message()
    equal((message.topic, message.payload, message.qos, message.retain), ("kept/meter", b"21.5", 1, True))
    # What waits for a device is sent when it comes; what it published itself is not.
    mqtt.publish("wanted/meter", b"23", retain=True)
    again = Device("kept")
    equal(again.receive(3), b"23\n")


def no_more_than_the_rate(hub):
    mqtt = watcher(hub, "up/rate")
    device = Device("rate")
    began = time.monotonic()
    device.send(b"".join(b"%d\n" % number for number in range(35)))
    # None is lost, and the last ones come in the fourth second.
    equal(mqtt.payloads(35), [b"%d" % number for number in range(35)])
    if time.monotonic() - began < 2:
        raise AssertionError("35 frames at 10 a second took less than two seconds")
    peer = Datagrams("rate_udp")
    mqtt.subscribe("up/rate_udp")
    for number in range(35):
        peer.send(b"%d" % number)
    until("datagrams beyond the rate are dropped", lambda: faults(hub, "rate") >= 5)
    equal(mqtt.message().payload, b"0")


class Datagrams:
    """A peer over UDP."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((HOST, PORTS[name]))
        self.socket.settimeout(DEADLINE_S)

    def send(self, *datagrams):
        for datagram in datagrams:
            self.socket.send(datagram)

    def receive(self):
        return self.socket.recv(65_536)


def datagrams(hub):
    mqtt = watcher(hub, "up/udp/#")
    peers = [Datagrams("udp") for _ in range(8)]
    # Their sessions belong to different shards, and the kernel gives their datagrams to whichever it likes.
    for number, peer in enumerate(peers):
        peer.send(b"first %d" % number, b"second %d" % number)
    found = [mqtt.message() for _ in range(16)]
    ports = {str(peer.socket.getsockname()[1]) for peer in peers}
    equal({message.topic.split(":")[-1] for message in found}, ports)
    equal(sorted(message.payload for message in found),
          sorted(b"%s %d" % (which, number) for which in (b"first", b"second") for number in range(8)))
    mqtt.publish("down/udp", b"for all", qos=0)
    mqtt.publish("down/udp", b"")
    mqtt.publish("down/udp", b"at QoS 1")
    for peer in peers:
        equal([peer.receive() for _ in range(3)], [b"for all", b"", b"at QoS 1"])
    equal(figure(hub, 'connections{kind="framed_udp"}'), 8)


def silent_peers(hub):
    mqtt = watcher(hub, "up/udp_idle")
    peer = Datagrams("udp_idle")
    for text in (b"once", b"again"):
        peer.send(text)
        equal(mqtt.message().payload, text)
        until("a silent peer is gone", lambda: figure(hub, 'connections{kind="framed_udp"}') == 0)


def lines_in_datagrams(hub):
    mqtt = watcher(hub, "up/udp_lines/#")
    for number in range(4):
        peer = Datagrams("udp_lines")
        peer.send(b"stranger")
        peer.send(b"ID meter%d s3cret\none\ntwo" % number, b"three\n")
        equal([(m.topic, m.payload) for m in (mqtt.message(), mqtt.message(), mqtt.message())],
              [(f"up/udp_lines/meter{number}", text) for text in (b"one", b"two", b"three")])
        mqtt.publish(f"down/udp_lines/meter{number}", b"down")
        equal(peer.receive(), b"down\n")
    equal(faults(hub, "unregistered"), 4)
    stranger = Datagrams("udp_lines")
    stranger.send(b"ID meter1 wrong\none")
    until("a wrong secret is counted", lambda: faults(hub, "wrong_secret") == 1)


def a_peer_that_says_again_who_it_is(hub):
    mqtt = watcher(hub, "up/udp_lines/#")
    peer = Datagrams("udp_lines")
    peer.send(b"ID meter0 s3cret\none\nID meter0 s3cret\ntwo", b"ID meter0 s3cret", b"three")
    equal([(m.topic, m.payload) for m in (mqtt.message(), mqtt.message(), mqtt.message())],
          [("up/udp_lines/meter0", text) for text in (b"one", b"two", b"three")])
    # Another one has the address now, whichever shard that belongs to: twice in a datagram as well.
    for number in range(1, 9):
        peer.send(b"ID meter%d s3cret\none\nID gauge%d s3cret\ntwo" % (number, number))
        equal([(m.topic, m.payload) for m in (mqtt.message(), mqtt.message())],
              [(f"up/udp_lines/meter{number}", b"one"), (f"up/udp_lines/gauge{number}", b"two")])
        peer.send(b"three")
        equal((message := mqtt.message()).payload, b"three")
        equal(message.topic, f"up/udp_lines/gauge{number}")
    equal(figure(hub, 'connections{kind="framed_udp"}'), 1)
    mqtt.publish("down/udp_lines/gauge8", b"down")
    equal(peer.receive(), b"down\n")


def datagrams_of_nothing_but_marks(hub):
    mqtt = watcher(hub, "up/udp_slip", "up/udp_marked")
    slip, marked = Datagrams("udp_slip"), Datagrams("udp_marked")
    slip.send(b"\xc0" * 65_507, b"\xc0still here\xc0")
    equal(mqtt.message().payload, b"still here")
    marked.send(b"\n" * 65_507, b"noise\n$still here")
    equal(mqtt.message().payload, b"$still here")


def presence(hub):
    device = Device("line")
    with socket.create_connection((HOST, hub.tcp), DEADLINE_S) as asker:
        reader = asker.makefile("r")

        def clients():
            asker.sendall(b'{"presence":"down/line","id":1}\n')
            return json.loads(reader.readline())["clients"]

        until("the device is on the topic", lambda: len(clients()) == 1)
        client = clients()[0]
        equal(client["kind"], "raw")
        equal(client["client"], "line-{}:{}".format(*device.socket.getsockname()))
    equal(figure(hub, 'connections{kind="framed_tcp"}'), 1)
    with urllib.request.urlopen(f"http://{HOST}:{hub.http}/api/v1/stats") as answer:
        equal(json.load(answer)["connections"]["framed_tcp"], 1)
    with urllib.request.urlopen(f"http://{HOST}:{hub.http}/api/v1/sessions") as answer:
        equal(client["client"] in [session["client_id"] for session in json.load(answer)["sessions"]], True)


def a_slow_device(hub):
    """It does not read, so that its outbox fills and what is too much is dropped."""
    mqtt = watcher(hub, "up/delimiter")
    device = Device("delimiter")
    device.send(b"here||")
    mqtt.message()
    large = b"x" * 60_000
    while figure(hub, 'dropped_total{reason="outbox_full"}') == 0:
        for _ in range(100):
            mqtt.publish("down/delimiter", large, qos=0)
        mqtt.publish("down/delimiter", large)
    mqtt.publish("up/delimiter", b"others do not notice")
    equal(mqtt.message().payload, b"others do not notice")


class Server:
    """A device that is a server, as the hub dials it."""

    def __init__(self, port=0):
        self.socket = socket.create_server((HOST, port), reuse_port=True)
        self.socket.settimeout(DEADLINE_S)

    def accept(self):
        connection, _peer = self.socket.accept()
        connection.settimeout(DEADLINE_S)
        return connection


def dialled(hub):
    server = Server(PORTS["dial"])
    mqtt = watcher(hub, "status/plc", "up/plc")
    connection = server.accept()
    seen = status_or_retained(mqtt)
    equal((seen["status"], seen["client"], seen["peer"]), ("online", "plc", f"{HOST}:{PORTS['dial']}"))
    connection.sendall(b"21.5\r22\r")
    equal(mqtt.payloads(2), [b"21.5", b"22"])
    mqtt.publish("down/plc", b"go")
    equal(connection.recv(3), b"go\r")
    until("it is counted", lambda: figure(hub, 'dials{state="connected"}') == 1)
    equal(figure(hub, 'connections{kind="framed_tcp"}'), 1)
    with urllib.request.urlopen(f"http://{HOST}:{hub.http}/api/v1/stats") as answer:
        equal([(dial["name"], dial["connected"]) for dial in json.load(answer)["dials"]], [("plc", True)])
    # It hangs up, and is called again.
    connection.close()
    equal(status(mqtt.message())["status"], "offline")
    connection = server.accept()
    equal(status(mqtt.message())["status"], "online")
    # It is not there for a while.
    server.socket.close()
    connection.close()
    equal(status(mqtt.message())["status"], "offline")
    until("an attempt has failed", lambda: figure(hub, "dial_failures_total") >= 1)
    server = Server(PORTS["dial"])
    connection = server.accept()
    equal(status(mqtt.message())["status"], "online")
    connection.sendall(b"again\r")
    equal(mqtt.message().payload, b"again")


def status_or_retained(mqtt):
    return json.loads(mqtt.message().payload)


if __name__ == "__main__":
    main(globals())
