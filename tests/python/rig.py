"""What the scenarios share: where the hub is, waiting with a deadline, and a small paho client that waits.

A scenario is a function that takes the hub's addresses. Run one with

    python FILE.py SCENARIO tcp=PORT http=PORT udp=PORT sn=PORT
"""

import dataclasses
import inspect
import queue
import socket
import sys
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST = "127.0.0.1"

# Far above what anything here takes; only a fault lets a wait last that long.
DEADLINE_S = 60


@dataclasses.dataclass
class Hub:
    """The ports of the hub under test."""

    tcp: int
    http: int = 0
    udp: int = 0
    sn: int = 0


def main(scenarios):
    """Runs the scenario that the command line names, from the functions of a module."""
    name = sys.argv[1]
    ports = dict(argument.split("=") for argument in sys.argv[2:])
    hub = Hub(**{key: int(value) for key, value in ports.items()})
    result = scenarios[name](hub)
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(asyncio.wait_for(result, 3 * DEADLINE_S))
    print(f"{name}: done")


def equal(found, expected):
    """Says what was found when it is not what was expected."""
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def properties(packet, **values):
    """Properties of a packet, such as properties(PacketTypes.CONNECT, SessionExpiryInterval=10)."""
    made = Properties(packet)
    for key, value in values.items():
        setattr(made, key, value)
    return made


def publish_properties(**values):
    return properties(PacketTypes.PUBLISH, **values)


class Client:
    """A paho client whose calls return when the hub has answered."""

    def __init__(self, hub, client_id="", *, version=paho.MQTTv5, clean=True, session_expiry=None,
                 will=None, transport="tcp", manual_ack=False, **connect_properties):
        self.version = version
        self.messages = queue.Queue()
        self.answers = queue.Queue()
        self.disconnected = threading.Event()
        self.disconnect_reason = None
        self.hub = hub
        arguments = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.paho = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version,
                                transport=transport, manual_ack=manual_ack, reconnect_on_failure=False,
                                **arguments)
        self.port = hub.tcp
        if transport == "websockets":
            self.paho.ws_set_options(path="/mqtt")
            self.port = hub.http
        self.paho.on_message = lambda _client, _data, message: self.messages.put(message)
        self.paho.on_connect = lambda _client, _data, flags, reason, answer: self.answers.put((flags, reason, answer))
        self.paho.on_subscribe = lambda _client, _data, _mid, reasons, _answer: self.answers.put(reasons)
        self.paho.on_unsubscribe = lambda _client, _data, _mid, reasons, _answer: self.answers.put(reasons)
        self.paho.on_disconnect = self._on_disconnect
        if will is not None:
            self.paho.will_set(**will)
        self.connect_arguments = {}
        if version == paho.MQTTv5:
            if session_expiry is not None:
                connect_properties["SessionExpiryInterval"] = session_expiry
            self.connect_arguments = {
                "clean_start": clean,
                "properties": properties(PacketTypes.CONNECT, **connect_properties),
            }

    def _on_disconnect(self, _client, _data, _flags, reason, _answer):
        # paho reports the end of the socket once more after the hub's DISCONNECT.
        if not self.disconnected.is_set():
            self.disconnect_reason = reason
        self.disconnected.set()

    def connect(self, keep_alive=60):
        """Connects and gives (flags, reason, properties) of CONNACK."""
        self.disconnected.clear()
        self.paho.connect(HOST, self.port, keep_alive, **self.connect_arguments)
        self.paho.loop_start()
        self.connack = self.answers.get(timeout=DEADLINE_S)
        return self.connack

    def start(self):
        """Connects, insists on success and gives this client, for use in a row."""
        _flags, reason, _answer = self.connect()
        equal(reason.is_failure, False)
        return self

    def session_present(self):
        return self.connack[0].session_present

    def subscribe(self, topic, qos=0, subscription_id=None, **options):
        if self.version != paho.MQTTv5:
            self.paho.subscribe(topic, qos)
        else:
            answer = None
            if subscription_id is not None:
                answer = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=subscription_id)
            self.paho.subscribe(topic, options=SubscribeOptions(qos=qos, **options), properties=answer)
        return [reason.value for reason in self.answers.get(timeout=DEADLINE_S)]

    def unsubscribe(self, topic):
        self.paho.unsubscribe(topic)
        return [reason.value for reason in self.answers.get(timeout=DEADLINE_S)]

    def publish(self, topic, payload=b"", qos=1, retain=False, **message_properties):
        """Publishes and, at QoS 1 and 2, waits until the hub has taken the message."""
        made = publish_properties(**message_properties) if message_properties else None
        info = self.paho.publish(topic, payload, qos, retain, made)
        info.wait_for_publish(DEADLINE_S)
        equal(info.is_published(), True)

    def message(self):
        """The next message."""
        return self.messages.get(timeout=DEADLINE_S)

    def payloads(self, count):
        """The payloads of the next messages."""
        return [self.message().payload for _ in range(count)]

    def payloads_before(self, marker):
        """The payloads of all messages up to the one that is the marker."""
        found = []
        while (payload := self.message().payload) != marker:
            found.append(payload)
        return found

    def stop(self):
        """Disconnects as MQTT asks for it."""
        self.paho.disconnect()
        self._joined()

    def vanish(self):
        """Breaks the connection off without a word, as a client does that loses its network."""
        self.paho.socket().shutdown(socket.SHUT_RDWR)
        self._joined()

    def _joined(self):
        self.disconnected.wait(DEADLINE_S)
        self.paho.loop_stop()


def server_seconds(hub, seconds):
    """Returns when that many seconds have passed on the hub's clock: a session's expiry publishes its will."""
    topic = f"clock/{threading.get_ident()}/{time.monotonic_ns()}"
    watch = Client(hub).start()
    watch.subscribe(topic)
    # The will's delay is longer than the session: the will goes out when the session ends.
    will_properties = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=3600)
    sleeper = Client(hub, f"clock-{time.monotonic_ns()}", session_expiry=seconds,
                     will={"topic": topic, "payload": b"passed", "properties": will_properties}).start()
    sleeper.vanish()
    equal(watch.message().payload, b"passed")
    watch.stop()
