"""paho-mqtt while one process takes over from another: nobody notices.

The test lets a new process take over whenever something is published to `stage/upgrade`, and then publishes to
`stage/upgraded`.
"""

from paho.mqtt.client import MQTTv31, MQTTv311, MQTTv5

from rig import Client, equal, main

# Pairs of a publisher and a subscriber for each version and QoS.
PAIRS = 12
UPGRADES = 4
# Messages of each publisher between two upgrades.
MESSAGES = 20


class Stage:
    """Asks for upgrades, and is itself a client that stays connected."""

    def __init__(self, hub):
        self.client = Client(hub, "stage").start()
        self.client.subscribe("stage/upgraded", 1)

    def upgrade(self, meanwhile=lambda: None):
        """Asks for an upgrade, and does something again and again until it is done."""
        self.client.publish("stage/upgrade", qos=1)
        while self.client.messages.empty():
            meanwhile()
        self.client.message()


def many_clients_stay(hub):
    """Hundreds of clients of every version publish and receive at every QoS during several upgrades in a row."""
    stage, pairs = Stage(hub), []
    for version in (MQTTv31, MQTTv311, MQTTv5):
        for qos in (0, 1, 2):
            for number in range(PAIRS):
                name = f"{version}-{qos}-{number}"
                # Every other session outlasts its connection.
                lasting = {"clean": number % 2 == 0, "session_expiry": number % 2 * 1000} \
                    if version == MQTTv5 else {"clean": number % 2 == 0}
                will = {"topic": f"will/{name}", "payload": b"gone", "qos": qos}
                subscriber = Client(hub, f"sub-{name}", version=version, will=will, **lasting).start()
                equal(subscriber.subscribe(f"t/{name}", qos), [qos])
                publisher = Client(hub, f"pub-{name}", version=version, **lasting).start()
                pairs.append((name, qos, subscriber, publisher))
    sent = 0

    def publish():
        nonlocal sent
        for name, qos, _subscriber, publisher in pairs:
            publisher.paho.publish(f"t/{name}", b"%d" % sent, qos)
        sent += 1

    for _ in range(UPGRADES):
        for _ in range(MESSAGES):
            publish()
        stage.upgrade(publish)
    for _ in range(MESSAGES):
        publish()
    expected = [b"%d" % number for number in range(sent)]
    for name, _qos, subscriber, publisher in pairs:
        if subscriber.payloads(sent) != expected:
            raise AssertionError(f"{name}: something is missing, comes twice or out of order")
        if subscriber.disconnected.is_set() or publisher.disconnected.is_set():
            raise AssertionError(f"{name}: a client was disconnected")
    print(f"{2 * len(pairs)} clients, {UPGRADES} upgrades, {sent * len(pairs)} messages, all once and in order")
    # Subscriptions go on, and wills are those of before.
    watch = Client(hub, "watch").start()
    equal(watch.subscribe("will/#", 2), [2])
    for name, qos, subscriber, publisher in pairs[::PAIRS]:
        subscriber.vanish()
        found = watch.message()
        equal((found.topic, found.payload, found.qos), (f"will/{name}", b"gone", qos))
    for _name, _qos, subscriber, publisher in pairs:
        equal(subscriber.messages.qsize(), 0)
        publisher.stop()
    stage.client.stop()


def sessions_that_are_away_wait_on(hub):
    """What waits for a client that is away waits through an upgrade, next to what is handed over."""
    stage = Stage(hub)
    away = Client(hub, "away", clean=False, session_expiry=1000).start()
    away.subscribe("t", 2)
    away.stop()
    publisher = Client(hub, "publisher").start()
    for number in range(10):
        publisher.publish("t", b"%d" % number, 2)
    stage.upgrade()
    for number in range(10, 20):
        publisher.publish("t", b"%d" % number, 2)
    away = Client(hub, "away", clean=False, session_expiry=1000).start()
    equal(away.session_present(), True)
    equal(away.payloads(20), [b"%d" % number for number in range(20)])
    publisher.stop()
    away.stop()
    stage.client.stop()


if __name__ == "__main__":
    main(globals())
