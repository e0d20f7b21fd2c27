"""`websockets` against the hub: the JSON protocol on /ws, and WebSocket itself."""

import json

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from rig import DEADLINE_S, HOST, Client, equal, main


def url(hub, path="/ws", port=None):
    return f"ws://{HOST}:{port or hub.http}{path}"


class Json:
    """A connection on /ws that speaks in values."""

    def __init__(self, hub, **arguments):
        self.connection = connect(url(hub), proxy=None, **arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, **value):
        self.connection.send(json.dumps(value))

    def receive(self):
        return json.loads(self.connection.recv(timeout=DEADLINE_S))

    def ask(self, **value):
        self.send(**value)
        return self.receive()


def publish_and_subscribe(hub):
    """Subscriptions, messages with every kind of payload, acknowledgements, unsubscribe, ping."""
    with Json(hub) as one, Json(hub) as two:
        equal(one.ask(sub="house/#", qos=1, id=1), {"sub": "house/#", "qos": 1, "ack": 1})
        equal(one.ask(sub=["a", "b/+"], id=2)["sub"], ["a", "b/+"])
        equal(one.ask(ping={"now": [1, 2]}), {"pong": {"now": [1, 2]}})
        for number, data in enumerate(("text", "☘", "", 12, 1.5, True, None, [1, "a"], {"deep": {"er": []}})):
            equal(two.ask(pub="house/x", data=data, qos=1, id=number), {"ack": number})
            message = one.receive()
            equal((message["topic"], message.get("data"), message["qos"]), ("house/x", data, 1))
            one.send(ack=message["id"])
        two.send(pub="a", data_base64="AP+A")
        equal(one.receive(), {"topic": "a", "data_base64": "AP+A"})
        equal(one.ask(unsub="house/#", id=3), {"unsub": "house/#", "ack": 3})
        two.ask(pub="house/x", data="unheard", qos=1, id=10)
        two.ask(pub="a", data="heard", qos=1, id=11)
        equal(one.receive()["data"], "heard")


def properties_travel(hub):
    """Content type, where to answer, what to repeat, and properties of the user."""
    extras = {"content_type": "text/plain", "response_topic": "answers", "correlation_base64": "AAE=",
              "user_properties": [["a", "1"], ["a", "2"]]}
    with Json(hub) as one:
        one.ask(sub="p", id=1)
        one.send(pub="p", data="x", **extras)
        equal(one.receive(), {"topic": "p", "data": "x", **extras})


def retained(hub):
    """A retained message comes first, unless the subscriber does not want it; no_local silences the own ones."""
    with Json(hub) as one:
        one.ask(pub="kept", data=1, qos=1, retain=True, id=1)
        one.send(sub="kept", id=2)
        answers = [one.receive(), one.receive()]
        equal({"topic": "kept", "data": 1, "retain": True} in answers, True)
        one.ask(unsub="kept", id=3)
        equal(one.ask(sub="kept", retained=False, no_local=True, id=4)["ack"], 4)
        one.ask(pub="kept", data=2, qos=1, id=5)
        equal(one.ask(ping=1), {"pong": 1})


def errors(hub):
    """Each mistake is answered by field and reason, with the request's id, and the connection goes on."""
    cases = [
        ('{"pub":"t","qos":7,"id":1}', "bad_field", "qos"),
        ('{"pub":"t","qos":1}', "missing_field", "id"),
        ('{"pub":"t","data":1,"data_base64":"AA==","id":1}', "bad_field", None),
        ('{"pub":"t","data_base64":"*","id":1}', "bad_field", "data_base64"),
        ('{"pub":"t","retian":true,"id":1}', "unknown_field", "retian"),
        ('{"pub":"t/#","id":1}', "bad_topic", "pub"),
        ('{"sub":"t/#/x","id":1}', "bad_topic", "sub"),
        ('{"subscribe":"t","id":1}', "unknown_operation", None),
    ]
    with Json(hub) as one:
        for text, code, field in cases:
            one.connection.send(text)
            answer = one.receive()
            equal((text, answer["error"]["code"]), (text, code))
            equal(bool(answer["error"]["reason"]), True)
            if field is not None:
                equal((text, answer["error"]["field"]), (text, field))
            if '"id":1' in text:
                equal((text, answer.get("id")), (text, 1))
        equal(one.ask(ping="still here"), {"pong": "still here"})


def fragments_and_pings(hub):
    """A message in fragments is one message; a ping is answered in between and with its bytes."""
    with Json(hub) as one:
        one.connection.send(['{"ping"', ":", '"whole"}'])
        equal(one.receive(), {"pong": "whole"})
        equal(one.connection.ping(b"bytes").wait(DEADLINE_S), True)


def large_messages(hub):
    """Every length form of a frame: up to 125 bytes, up to 65,535 and above."""
    with Json(hub, max_size=None) as one:
        one.ask(sub="large", id=1)
        for size in (0, 100, 125, 126, 127, 65_000, 65_535, 65_536, 900_000):
            one.send(pub="large", data="x" * size)
            equal(len(one.receive()["data"]), size)


def compression_offered(hub):
    """An offer to compress is met, without windows that are kept; what is said arrives as it was."""
    with Json(hub, compression="deflate") as one:
        extensions = one.connection.protocol.extensions
        equal([extension.name for extension in extensions], ["permessage-deflate"])
        equal((extensions[0].local_no_context_takeover, extensions[0].remote_no_context_takeover), (True, True))
        equal(one.ask(ping="x" * 10_000), {"pong": "x" * 10_000})


def compression_with_every_window(hub):
    """Windows of every size, down to 256 bytes, both ways: what is far back must not be referred to."""
    # Repeats itself at every distance up to 32 KiB and more, by a generator that is always the same.
    state, words = 1, []
    for _ in range(12_000):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        words.append(f"{state >> 16 & 0x3FF:x}")
    text = " ".join(words)
    for bits in range(8, 16):
        # The library takes no smaller window than 512 bytes for what it compresses by itself.
        offer = ClientPerMessageDeflateFactory(
            server_max_window_bits=bits, client_max_window_bits=max(bits, 9), compress_settings={"memLevel": 5})
        with Json(hub, compression=None, extensions=[offer]) as one:
            agreed = one.connection.protocol.extensions[0]
            equal((bits, agreed.remote_max_window_bits), (bits, bits))
            for length in (300, 3_000, len(text)):
                equal(one.ask(ping=text[:length]), {"pong": text[:length]})


def compressed_bombs(hub):
    """What becomes larger than a message may be is refused, by its code."""
    with Json(hub, compression="deflate", max_size=None) as one:
        one.connection.send(json.dumps({"ping": " " * (8 << 20)}))
        equal(one.receive()["error"]["code"], "too_large")
        try:
            one.receive()
        except ConnectionClosed as closed:
            equal(closed.rcvd.code, 1009)
        else:
            raise AssertionError("the connection goes on")


def binary_frame(header, payload):
    """A payload as it is behind a header: 1, the length of the header in two bytes, the header."""
    header = json.dumps(header).encode()
    return bytes([1]) + len(header).to_bytes(2, "big") + header + payload


def binary_frames(hub):
    """Bytes travel as they are, to those who want that; what is no such frame is refused."""
    with Json(hub) as one, Json(hub) as two:
        equal(one.ask(hello={"binary": True, "info": "here"}, id=1)["ack"], 1)
        one.ask(sub="bytes")
        two.ask(sub="bytes")
        two.connection.send(binary_frame({"pub": "bytes", "content_type": "x"}, b"\xff\x00"))
        equal(two.receive(), {"topic": "bytes", "data_base64": "/wA=", "content_type": "x"})
        frame = one.connection.recv(timeout=DEADLINE_S)
        header = json.loads(frame[3:3 + int.from_bytes(frame[1:3], "big")])
        equal((header, frame[-2:]), ({"topic": "bytes", "content_type": "x"}, b"\xff\x00"))
        two.connection.send(b"\x00\x01")
        equal(two.receive()["error"]["code"], "bad_json")


def batches(hub):
    """Several requests at once, and several objects in one frame for who has asked for it."""
    with Json(hub) as one, Json(hub) as two:
        equal(one.ask(hello={"batch": True, "client": "joined"})["hello"]["client"], "joined")
        one.ask(sub="many/#")
        two.connection.send(json.dumps([{"pub": f"many/{n}", "data": n} for n in range(100)]))
        found, frames = [], 0
        while len(found) < 100:
            value = one.receive()
            found += value if isinstance(value, list) else [value]
            frames += 1
        equal([message["data"] for message in found], list(range(100)))
        equal(frames < 100, True)


def request_and_response(hub):
    """A request is answered by another client, and by one that speaks MQTT 5."""
    with Json(hub) as one, Json(hub) as two:
        two.ask(sub="svc/json")
        one.send(req="svc/json", data=[1, 2], id=1)
        question = two.receive()
        two.send(pub=question["response_topic"], correlation_base64=question["correlation_base64"],
                 data=sum(question["data"]))
        equal(one.receive(), {"res": 1, "data": 3})
        equal(one.ask(req="svc/nobody", id=2)["error"]["code"], "no_responder")
    service = Client(hub, "service").start()
    service.subscribe("svc/mqtt")
    with Json(hub) as one:
        one.send(req="svc/mqtt", data="question", id=3)
        question = service.message()
        service.publish(question.properties.ResponseTopic, b"answer",
                        CorrelationData=question.properties.CorrelationData)
        equal(one.receive(), {"res": 3, "data": "answer"})
    service.stop()


def not_json(hub):
    """Text that is no JSON is answered, and the connection closes with 1007."""
    for text in ("{", "hello", "[]", '{"ping":1} and more'):
        with Json(hub) as one:
            one.connection.send(text)
            equal((text, one.receive()["error"]["code"]), (text, "bad_json"))
            try:
                one.receive()
            except ConnectionClosed as closed:
                equal(closed.rcvd.code, 1007)
            else:
                raise AssertionError(f"the connection goes on after {text}")


def subprotocols(hub):
    """/mqtt speaks `mqtt` and `mqttv3.1`; the first that the client names and the hub knows is taken."""
    for offered, taken in ((["mqtt"], "mqtt"), (["mqttv3.1"], "mqttv3.1"), (["other", "mqtt"], "mqtt")):
        with connect(url(hub, "/mqtt"), proxy=None, subprotocols=offered) as connection:
            equal(connection.subprotocol, taken)


def unknown_path(hub):
    """What is not there is 404, not a WebSocket."""
    try:
        connect(url(hub, "/nowhere"), proxy=None)
    except InvalidStatus as refused:
        equal(refused.response.status_code, 404)
    else:
        raise AssertionError("connected to a path that is not there")


def same_port_as_mqtt(hub):
    """The port that serves everything serves WebSocket too."""
    with connect(url(hub, port=hub.tcp), proxy=None) as connection:
        connection.send('{"ping":1}')
        equal(json.loads(connection.recv(timeout=DEADLINE_S)), {"pong": 1})


def goodbye(hub):
    """A close is answered with the same code."""
    connection = connect(url(hub), proxy=None)
    connection.close(4321, "enough")
    equal((connection.close_code, connection.protocol.close_rcvd.code), (4321, 4321))


if __name__ == "__main__":
    main(globals())
