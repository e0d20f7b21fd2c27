"""paho-mqtt against the hub: sessions, QoS, wills and the properties of MQTT 5."""

from paho.mqtt.client import MQTTv31, MQTTv311, MQTTv5
from paho.mqtt.packettypes import PacketTypes

from rig import Client, equal, main, properties, server_seconds

COUNT = 200


def numbered(count=COUNT):
    return [b"%d" % number for number in range(count)]


def every_qos_and_version(hub):
    """Each version of MQTT at each QoS, in order and once."""
    for version in (MQTTv31, MQTTv311, MQTTv5):
        for qos in (0, 1, 2):
            topic = f"all/{version}/{qos}"
            subscriber = Client(hub, f"sub{version}{qos}", version=version).start()
            publisher = Client(hub, f"pub{version}{qos}", version=version).start()
            equal(subscriber.subscribe(topic, qos), [qos])
            for payload in numbered():
                publisher.paho.publish(topic, payload, qos)
            messages = [subscriber.message() for _ in range(COUNT)]
            equal([message.payload for message in messages], numbered())
            equal({message.qos for message in messages}, {qos})
            equal({message.topic for message in messages}, {topic})
            subscriber.stop()
            publisher.stop()


def qos2_both_ways(hub):
    """Two clients that publish to each other at QoS 2 at the same time."""
    one, two = Client(hub, "one").start(), Client(hub, "two").start()
    one.subscribe("to/one", 2)
    two.subscribe("to/two", 2)
    for payload in numbered():
        one.paho.publish("to/two", payload, 2)
        two.paho.publish("to/one", payload, 2)
    equal(one.payloads(COUNT), numbered())
    equal(two.payloads(COUNT), numbered())
    one.stop()
    two.stop()


def wildcards_and_unsubscribe(hub):
    """What each filter matches, and that nothing comes after an unsubscribe."""
    subscriber, publisher = Client(hub).start(), Client(hub).start()
    expected = {
        "a/b/c": {"a/b/c", "a/+/c", "a/#", "#", "+/+/+"},
        "a/b": {"a/#", "#"},
        "a": {"a/#", "#"},
        "/a/c": {"#", "+/+/+"},
        "a//c": {"a/+/c", "a/#", "#", "+/+/+"},
        "$own/b/c": set(),
    }
    filters = ["a/b/c", "a/+/c", "a/#", "#", "+/+/+"]
    for topic, matching in expected.items():
        for filter_ in filters:
            subscriber.subscribe(filter_, 1)
            publisher.publish(topic, b"probe")
            equal(subscriber.unsubscribe(filter_), [0])
            subscriber.subscribe("marker", 1)
            publisher.publish("marker", b"marker")
            found = subscriber.payloads_before(b"marker")
            equal((topic, filter_, found), (topic, filter_, [b"probe"] if filter_ in matching else []))
            subscriber.unsubscribe("marker")
    # 0x11: no subscription existed
    equal(subscriber.unsubscribe("never/subscribed"), [0x11])
    subscriber.stop()
    publisher.stop()


def persistent_session(hub):
    """What was missed waits for a session that stays, in order, at the QoS of the subscription."""
    for version in (MQTTv311, MQTTv5):
        arguments = {"version": version, "clean": False}
        if version == MQTTv5:
            arguments["session_expiry"] = 3600
        name = f"keeper{version}"
        keeper = Client(hub, name, **arguments).start()
        equal(keeper.session_present(), False)
        keeper.subscribe(f"kept/{version}/+", 2)
        keeper.stop()
        publisher = Client(hub).start()
        for qos in (1, 2):
            for payload in numbered(50):
                publisher.publish(f"kept/{version}/{qos}", payload, qos)
        again = Client(hub, name, **arguments).start()
        equal(again.session_present(), True)
        messages = [again.message() for _ in range(100)]
        for qos in (1, 2):
            equal([message.payload for message in messages if message.qos == qos], numbered(50))
        again.stop()
        # A clean start ends the session.
        fresh = Client(hub, name, version=version, clean=True).start()
        equal(fresh.session_present(), False)
        fresh.stop()
        publisher.stop()


def resend_after_reconnect(hub):
    """A message that was sent and not acknowledged comes again, marked as a duplicate."""
    arguments = {"clean": False, "session_expiry": 3600, "manual_ack": True}
    reader = Client(hub, "reader", **arguments).start()
    reader.subscribe("resend", 1)
    publisher = Client(hub).start()
    publisher.publish("resend", b"twice")
    first = reader.message()
    equal((first.payload, first.dup), (b"twice", False))
    reader.vanish()
    again = Client(hub, "reader", **arguments).start()
    second = again.message()
    equal((second.payload, second.dup), (b"twice", True))
    again.paho.ack(second.mid, second.qos)
    again.stop()
    publisher.stop()


def take_over(hub):
    """A second connection with the same client id takes the session over; the first is told why."""
    first = Client(hub, "same", clean=False, session_expiry=3600).start()
    first.subscribe("mine", 1)
    second = Client(hub, "same", clean=False, session_expiry=3600).start()
    equal(second.session_present(), True)
    equal(first.disconnected.wait(60), True)
    equal(first.disconnect_reason.value, 0x8E)
    publisher = Client(hub).start()
    publisher.publish("mine", b"for the second")
    equal(second.message().payload, b"for the second")
    second.stop()
    publisher.stop()


def session_expiry(hub):
    """A session is gone once its expiry has passed."""
    short = Client(hub, "short", clean=False, session_expiry=1).start()
    short.subscribe("kept", 1)
    short.stop()
    server_seconds(hub, 3)
    again = Client(hub, "short", clean=False, session_expiry=1).start()
    equal(again.session_present(), False)
    again.stop()


def message_expiry(hub):
    """An expired message is not delivered; one that is not carries what is left of its time."""
    away = Client(hub, "away", clean=False, session_expiry=3600).start()
    away.subscribe("expiring/#", 1)
    away.stop()
    publisher = Client(hub).start()
    publisher.publish("expiring/soon", b"gone", MessageExpiryInterval=1)
    publisher.publish("expiring/later", b"there", MessageExpiryInterval=1000)
    server_seconds(hub, 3)
    again = Client(hub, "away", clean=False, session_expiry=3600).start()
    message = again.message()
    equal(message.payload, b"there")
    left = message.properties.MessageExpiryInterval
    equal(0 < left <= 998, True)
    again.stop()
    publisher.stop()


def will(hub):
    """A will is published when the connection breaks off, and not when the client says goodbye."""
    watch = Client(hub).start()
    watch.subscribe("wills/#", 1)
    text = {"topic": "wills/a", "payload": b"gone", "qos": 1, "retain": True}
    Client(hub, "polite", will=dict(text, topic="wills/polite")).start().stop()
    Client(hub, "sudden", will=text).start().vanish()
    message = watch.message()
    equal((message.topic, message.payload, message.qos), ("wills/a", b"gone", 1))
    late = Client(hub).start()
    late.subscribe("wills/#", 1)
    message = late.message()
    equal((message.topic, message.retain), ("wills/a", True))
    watch.stop()
    late.stop()


def will_delay(hub):
    """A will with a delay comes after it, and not at all when the client is back in time."""
    watch = Client(hub).start()
    watch.subscribe("delayed/#", 1)

    def sudden(name, delay):
        made = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=delay)
        will_ = {"topic": f"delayed/{name}", "payload": b"gone", "properties": made}
        return Client(hub, name, clean=False, session_expiry=3600, will=will_).start()

    sudden("back", 2).vanish()
    back = sudden("back", 2)
    sudden("away", 2).vanish()
    equal(watch.message().topic, "delayed/away")
    back.stop()
    server_seconds(hub, 3)
    publisher = Client(hub).start()
    publisher.publish("delayed/marker", b"marker")
    equal(watch.payloads_before(b"marker"), [])
    watch.stop()
    publisher.stop()


def request_response(hub):
    """A request carries where to answer and what to repeat in the answer."""
    asker, answerer = Client(hub).start(), Client(hub).start()
    asker.subscribe("answers/asker", 1)
    answerer.subscribe("questions", 1)
    asker.publish("questions", b"6 * 7", ResponseTopic="answers/asker", CorrelationData=b"\x00\xff7")
    request = answerer.message()
    answerer.publish(request.properties.ResponseTopic, b"42", CorrelationData=request.properties.CorrelationData)
    answer = asker.message()
    equal((answer.payload, answer.properties.CorrelationData), (b"42", b"\x00\xff7"))
    asker.stop()
    answerer.stop()


def message_properties(hub):
    """Everything that belongs to a message arrives with it, in its order."""
    subscriber, publisher = Client(hub).start(), Client(hub).start()
    subscriber.subscribe("properties", 2)
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("☘", "")]
    publisher.publish("properties", "grün".encode(), qos=2, PayloadFormatIndicator=1, ContentType="text/plain",
                      UserProperty=pairs)
    message = subscriber.message()
    found = message.properties
    equal(found.UserProperty, pairs)
    equal((found.PayloadFormatIndicator, found.ContentType, message.payload), (1, "text/plain", "grün".encode()))
    subscriber.stop()
    publisher.stop()


def topic_alias(hub):
    """A publisher that names a topic once and its alias from then on."""
    subscriber, publisher = Client(hub).start(), Client(hub).start()
    equal(publisher.connack[2].TopicAliasMaximum >= 2, True)
    subscriber.subscribe("long/name/#", 1)
    publisher.publish("long/name/1", b"0", TopicAlias=1)
    publisher.publish("long/name/2", b"1", TopicAlias=2)
    publisher.publish("", b"2", TopicAlias=1)
    publisher.publish("", b"3", TopicAlias=2)
    publisher.publish("long/name/3", b"4", TopicAlias=1)
    publisher.publish("", b"5", TopicAlias=1)
    found = [subscriber.message() for _ in range(6)]
    equal([message.topic[-1] for message in found], ["1", "2", "1", "2", "3", "3"])
    equal([message.payload for message in found], numbered(6))
    subscriber.stop()
    publisher.stop()


def receive_maximum(hub):
    """No more is in flight towards a client than it allows; QoS 0 is not counted."""
    slow = Client(hub, "slow", manual_ack=True, ReceiveMaximum=2).start()
    slow.subscribe("flow", 1)
    publisher = Client(hub).start()
    for payload in numbered(6):
        publisher.publish("flow", payload)
    publisher.publish("flow", b"marker", qos=0)
    # The order between QoS 0 and QoS 1 is free, but of QoS 1 there are exactly two.
    early = [slow.message() for _ in range(3)]
    equal(sorted(message.payload for message in early), [b"0", b"1", b"marker"])
    waiting = [message for message in early if message.qos == 1]
    for expected in (b"2", b"3", b"4", b"5"):
        first = waiting.pop(0)
        slow.paho.ack(first.mid, first.qos)
        message = slow.message()
        equal(message.payload, expected)
        waiting.append(message)
    slow.stop()
    publisher.stop()


def subscription_identifiers(hub):
    """A message says which subscriptions it came by."""
    subscriber, publisher = Client(hub).start(), Client(hub).start()
    subscriber.subscribe("ids/a", 1, subscription_id=7)
    subscriber.subscribe("ids/+", 1, subscription_id=268435455)
    subscriber.subscribe("ids/#", 1)
    subscriber.subscribe("marker", 1)
    publisher.publish("ids/a", b"x")
    publisher.publish("marker", b"marker")
    found = []
    while (message := subscriber.message()).payload != b"marker":
        found.extend(getattr(message.properties, "SubscriptionIdentifier", []))
    equal(sorted(found), [7, 268435455])
    subscriber.stop()
    publisher.stop()


def retained(hub):
    """The last retained message of each topic waits for new subscriptions; an empty one removes it."""
    publisher = Client(hub).start()
    for topic, payload in (("r/a", b"old"), ("r/a", b"new"), ("r/b", b"b"), ("r/c", b"c"), ("r/c", b"")):
        publisher.publish(topic, payload, retain=True)
    late = Client(hub).start()
    late.subscribe("r/+", 1)
    late.subscribe("marker", 1)
    publisher.publish("marker", b"marker")
    found = {}
    while (message := late.message()).payload != b"marker":
        found[message.topic] = (message.payload, message.retain)
    equal(found, {"r/a": (b"new", True), "r/b": (b"b", True)})
    # To a subscription that is there already it is a message like any other.
    publisher.publish("r/a", b"newer", retain=True)
    message = late.message()
    equal((message.payload, message.retain), (b"newer", False))
    late.stop()
    publisher.stop()


def retain_handling(hub):
    """0: send retained messages; 1: only for a new subscription; 2: never."""
    publisher = Client(hub).start()
    publisher.publish("rh/a", b"kept", retain=True)
    subscriber = Client(hub).start()
    subscriber.subscribe("marker", 1)

    def on_subscribing(handling, filter_):
        subscriber.subscribe(filter_, 1, retainHandling=handling)
        publisher.publish("marker", b"marker")
        return subscriber.payloads_before(b"marker")

    equal(on_subscribing(2, "rh/a"), [])
    equal(on_subscribing(1, "rh/a"), [])
    equal(on_subscribing(0, "rh/a"), [b"kept"])
    equal(on_subscribing(0, "rh/a"), [b"kept"])
    equal(on_subscribing(1, "rh/+"), [b"kept"])
    subscriber.stop()
    publisher.stop()


def no_local(hub):
    """A client does not hear itself when it asks not to; others do."""
    both, other = Client(hub).start(), Client(hub).start()
    both.subscribe("echo", 1, noLocal=True)
    other.subscribe("echo", 1, noLocal=True)
    both.publish("echo", b"from both")
    other.publish("echo", b"from other")
    equal(both.message().payload, b"from other")
    equal(other.message().payload, b"from both")
    both.stop()
    other.stop()


def retain_as_published(hub):
    """The retain flag of a live message is kept for those who ask for it."""
    keeps, drops, publisher = Client(hub).start(), Client(hub).start(), Client(hub).start()
    keeps.subscribe("rap", 1, retainAsPublished=True)
    drops.subscribe("rap", 1)
    publisher.publish("rap", b"x", retain=True)
    publisher.publish("rap", b"y", retain=False)
    equal([keeps.message().retain, keeps.message().retain], [True, False])
    equal([drops.message().retain, drops.message().retain], [False, False])
    for client in (keeps, drops, publisher):
        client.stop()


def shared_subscription(hub):
    """Each message goes to one member of the group, and to everybody outside it."""
    members = [Client(hub, f"member{number}").start() for number in range(3)]
    outside, publisher = Client(hub).start(), Client(hub).start()
    for member in members:
        member.subscribe("$share/group/work/#", 1)
        member.subscribe("marker", 1)
    outside.subscribe("work/#", 1)
    for payload in numbered(90):
        publisher.publish("work/x", payload)
    publisher.publish("marker", b"marker")
    shares = [member.payloads_before(b"marker") for member in members]
    equal(sorted(sum(shares, [])), sorted(numbered(90)))
    equal(all(shares), True)
    equal(outside.payloads(90), numbered(90))
    for client in (*members, outside, publisher):
        client.stop()


def maximum_packet_size(hub):
    """A message above what the client takes is left out; those around it arrive."""
    small = Client(hub, MaximumPacketSize=200).start()
    small.subscribe("sized", 1)
    publisher = Client(hub).start()
    for payload in (b"before", b"x" * 500, b"after"):
        publisher.publish("sized", payload)
    equal(small.payloads(2), [b"before", b"after"])
    small.stop()
    publisher.stop()


def assigned_client_id(hub):
    """Without a client id the hub gives one, a different one each time."""
    clients = [Client(hub).start() for _ in range(2)]
    names = [client.connack[2].AssignedClientIdentifier for client in clients]
    equal(len(set(names)) == 2 and all(names), True)
    for client in clients:
        client.stop()


def reason_codes(hub):
    """Answers say what happened: nobody listens (0x10), a filter that cannot be (0x8F)."""
    client = Client(hub).start()
    reasons = []
    client.paho.on_publish = lambda _client, _data, _mid, reason, _answer: reasons.append(reason.value)
    client.publish("nobody/listens", b"x")
    client.subscribe("somebody/listens", 0)
    client.publish("somebody/listens", b"x")
    client.message()
    while len(reasons) < 2:
        client.publish("somebody/listens", b"x")
    equal(reasons[:2], [0x10, 0])
    equal(client.subscribe("$share/group/a", 1), [1])
    client.stop()


def over_websocket(hub):
    """MQTT 3.1.1 and 5 over WebSocket, both ways, with a message of a megabyte."""
    for version in (MQTTv311, MQTTv5):
        one = Client(hub, f"ws{version}", version=version, transport="websockets").start()
        two = Client(hub, f"tcp{version}", version=version).start()
        one.subscribe(f"to/ws/{version}", 2)
        two.subscribe(f"to/tcp/{version}", 2)
        large = bytes(range(256)) * 4096
        for qos in (0, 1, 2):
            one.publish(f"to/tcp/{version}", large, qos)
            two.publish(f"to/ws/{version}", large, qos)
        equal(one.payloads(3) == [large] * 3, True)
        equal(two.payloads(3) == [large] * 3, True)
        one.stop()
        two.stop()


if __name__ == "__main__":
    main(globals())
