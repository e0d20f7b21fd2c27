"""The cross matrix: messages from one kind of publisher to every kind of subscriber.

Every payload is checked byte for byte; a marker after the last one shows that none came twice.
"""

import http.client
import json
import queue
import socket
import threading
import time

from paho.mqtt.client import MQTTv5, MQTTv311

from json_link import Datagrams, Lines, Link, WebSocket, members, payload_members, payload_of
from rig import DEADLINE_S, HOST, Client, equal, main

COUNT = 1000

# Requests that wait for their acknowledgement at one time.
WINDOW = 100

# Datagrams have no flow control: so many are on their way to a subscriber at most.
DATAGRAM_WINDOW = 20

END = b"this is the end"


def payload(number):
    """Bytes that are not UTF-8, text, a JSON object and a JSON number, each with its number in it."""
    return (
        b"\xff\xfe\x00%d\x80" % number,
        f'no. {number} grün ☘ "quoted"\n\tand \\ more'.encode(),
        b'{"n":%d,"list":[1,2.50,true,null],"text":"\\u00e9 \\" \xe2\x98\x98"}' % number,
        b"%d.50" % number,
    )[number % 4]


PAYLOADS = [payload(number) for number in range(COUNT)] + [END]


class MqttPublisher:
    def __init__(self, hub, qos, **arguments):
        self.client = Client(hub, **arguments).start()
        self.qos = qos

    def publish(self, topic, payloads):
        for data in payloads:
            info = self.client.paho.publish(topic, data, self.qos)
        info.wait_for_publish(DEADLINE_S)

    def close(self):
        self.client.stop()


class JsonPublisher:
    def __init__(self, transport, window):
        self.link = Link(transport)
        self.window = window

    def publish(self, topic, payloads):
        acknowledged = 0
        for number, data in enumerate(payloads):
            text = '{"pub":%s,%s,"qos":1,"id":%d}' % (json.dumps(topic), payload_members(data), number)
            self.link.transport.send(text)
            if number + 1 - acknowledged >= self.window:
                self._acknowledgement(acknowledged)
                acknowledged += 1
        for expected in range(acknowledged, number + 1):
            self._acknowledgement(expected)

    def _acknowledgement(self, expected):
        equal(self.link.answers.get(timeout=DEADLINE_S), {"ack": str(expected)})

    def close(self):
        self.link.close()


class HttpPublisher:
    def __init__(self, hub):
        self.connection = http.client.HTTPConnection(HOST, hub.http, timeout=DEADLINE_S)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def publish(self, topic, payloads):
        for data in payloads:
            body = '{"topic":%s,%s,"qos":1}' % (json.dumps(topic), payload_members(data))
            self.connection.request("POST", "/api/v1/publish", body.encode(), {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            text = response.read()
            equal((response.status // 100, text if response.status >= 300 else b""), (2, b""))

    def close(self):
        self.connection.close()


class MqttSubscriber:
    def __init__(self, hub, topic, qos, **arguments):
        self.client = Client(hub, **arguments).start()
        equal(self.client.subscribe(topic, qos), [qos])

    def next(self):
        return self.client.message().payload

    def close(self):
        self.client.stop()


class JsonSubscriber:
    def __init__(self, transport, topic):
        self.link = Link(transport)
        answer = self.link.ask('{"sub":%s,"qos":1,"id":1}' % json.dumps(topic))
        equal(answer, {"sub": json.dumps(topic), "qos": "1", "ack": "1"})

    def next(self):
        return payload_of(self.link.message())

    def close(self):
        self.link.close()


class SseSubscriber:
    def __init__(self, hub, topic):
        self.connection = http.client.HTTPConnection(HOST, hub.http, timeout=DEADLINE_S)
        self.connection.request("GET", f"/sse?topic={topic}", headers={"Accept": "text/event-stream"})
        self.response = self.connection.getresponse()
        equal(self.response.status, 200)
        equal(self.response.headers.get_content_type(), "text/event-stream")

    def next(self):
        while not (line := self.response.readline()).startswith(b"data:"):
            equal(bool(line), True)
        return payload_of(members(line.removeprefix(b"data:").strip().decode()))

    def close(self):
        self.connection.close()


PUBLISHERS = {
    "mqtt311": lambda hub: MqttPublisher(hub, 1, version=MQTTv311),
    "mqtt5": lambda hub: MqttPublisher(hub, 2, version=MQTTv5),
    "mqtt_ws": lambda hub: MqttPublisher(hub, 1, version=MQTTv5, transport="websockets"),
    "json_ws": lambda hub: JsonPublisher(WebSocket(hub), WINDOW),
    "json_lines": lambda hub: JsonPublisher(Lines(hub), WINDOW),
    "json_datagrams": lambda hub: JsonPublisher(Datagrams(hub), 1),
    "http": HttpPublisher,
}

SUBSCRIBERS = {
    "mqtt311": lambda hub, topic: MqttSubscriber(hub, topic, 1, version=MQTTv311),
    "mqtt5": lambda hub, topic: MqttSubscriber(hub, topic, 2, version=MQTTv5),
    "mqtt_ws": lambda hub, topic: MqttSubscriber(hub, topic, 1, version=MQTTv5, transport="websockets"),
    "json_ws": lambda hub, topic: JsonSubscriber(WebSocket(hub), topic),
    "json_lines": lambda hub, topic: JsonSubscriber(Lines(hub), topic),
    "json_datagrams": lambda hub, topic: JsonSubscriber(Datagrams(hub), topic),
    "sse": SseSubscriber,
}


def paced(payloads, received):
    """Gives the payloads while no more than a few are on their way."""
    for number, data in enumerate(payloads):
        while number - len(received) >= DATAGRAM_WINDOW:
            time.sleep(0.0002)
        yield data


def pair(hub, publisher_kind, subscriber_kind):
    topic = f"matrix/{publisher_kind}/{subscriber_kind}"
    subscriber = SUBSCRIBERS[subscriber_kind](hub, topic)
    publisher = PUBLISHERS[publisher_kind](hub)
    received = []
    faults = queue.Queue()

    def publish():
        try:
            payloads = paced(PAYLOADS, received) if subscriber_kind == "json_datagrams" else PAYLOADS
            publisher.publish(topic, payloads)
        except Exception as fault:  # shown below, in the thread that is watched
            faults.put(fault)

    start = time.monotonic()
    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        while not received or received[-1] != END:
            received.append(subscriber.next())
    except Exception as fault:
        told = faults.get_nowait() if not faults.empty() else fault
        raise AssertionError(f"{topic}: after {len(received)} messages: {told!r}") from fault
    thread.join(DEADLINE_S)
    if not faults.empty():
        raise AssertionError(f"{topic}: publisher: {faults.get()!r}")
    for number, (found, expected) in enumerate(zip(received, PAYLOADS)):
        if found != expected:
            raise AssertionError(f"{topic}: message {number} is {found!r}, expected {expected!r}")
    equal((topic, len(received)), (topic, len(PAYLOADS)))
    print(f"{publisher_kind:>14} -> {subscriber_kind:<14} {COUNT} messages in {time.monotonic() - start:.2f} s")
    publisher.close()
    subscriber.close()


def from_publisher(publisher_kind):
    def scenario(hub):
        for subscriber_kind in SUBSCRIBERS:
            pair(hub, publisher_kind, subscriber_kind)

    return scenario


SCENARIOS = {f"from_{kind}": from_publisher(kind) for kind in PUBLISHERS}

if __name__ == "__main__":
    main(SCENARIOS)
