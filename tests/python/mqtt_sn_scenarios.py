"""MQTT-SN clients that are not ours: mqtt-sn-12, written for gateways of today, and mqttsn, the client of Eclipse RSMB.

mqtt-sn-12 acknowledges no message of QoS 1 while it polls, and cannot name itself in PINGREQ by its own method. So
those packets are read and sent here with its own classes for them.
"""

import queue
import time

import mqttsn.client
from mqttsn12.client.MqttSnClient import MqttSnClient, MqttSnListener
from mqttsn12.client.MqttSnClientException import MqttSnClientException
from mqttsn12.MqttSnConstants import MqttSnConstants
from mqttsn12.packets import PingReqPacket, PublishPacket

from rig import HOST, DEADLINE_S, Client, equal, main

TYPE_OF = {0x0A: "register", 0x0C: "publish", 0x17: "pingresp", 0x18: "disconnect"}


class Inbox(MqttSnListener):
    """Holds what the client hands over."""

    def __init__(self):
        self.messages = queue.Queue()

    def message_arrived(self, msg):
        self.messages.put((msg.get_topic_name(), msg.get_payload(), msg.get_retain()))


def device(hub, client_id, *, clean=True, keep_alive=60, will=None):
    client = MqttSnClient()
    client.set_client_id(client_id)
    client.set_clean_session(clean)
    client.set_keep_alive(keep_alive)
    client.set_timeout(DEADLINE_S)
    if will is not None:
        client.set_will(*will)
    client.open(HOST, hub.sn)
    client.send_connect()
    return client


def poll(client, inbox, count):
    """The next messages, by the client's own way to receive."""
    deadline = time.monotonic() + DEADLINE_S
    found = []
    while len(found) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"only {found!r} came")
        client.polling()
        while not inbox.messages.empty():
            found.append(inbox.messages.get())
        time.sleep(0.001)
    return found


def take(client):
    """One packet: its kind, and the payload of a message, which is acknowledged."""
    data = client.receive_packet(True)
    kind = TYPE_OF[data[3] if data[0] == 1 else data[1]]
    if kind == "register":
        client.process_register(data)
        return take(client)
    if kind != "publish":
        return kind, None
    packet = PublishPacket()
    packet.decode(data)
    if packet.get_qos() == 1:
        client.send_puback(packet, MqttSnConstants.ACCEPTED)
    return kind, packet.get_data()


def finding_the_gateway(hub):
    client = MqttSnClient()
    client.set_timeout(DEADLINE_S)
    client.open(HOST, hub.sn)
    client.send_search_gateway(0)
    client.close()


def publishing_at_every_qos(hub):
    subscriber = Client(hub).start()
    subscriber.subscribe("home/#", 2)
    subscriber.subscribe("ab", 2)
    client = device(hub, "publisher")
    for qos in (0, 1, 2):
        for number in range(5):
            client.send_publish("home/temp", b"%d %d" % (qos, number), qos)
    equal(subscriber.payloads(15), [b"%d %d" % (qos, number) for qos in (0, 1, 2) for number in range(5)])
    client.send_publish("ab", b"short", 1)
    equal(subscriber.message().payload, b"short")
    client.send_publish("home/kept", b"kept", 1, True)
    equal(subscriber.message().payload, b"kept")
    late = Client(hub).start()
    late.subscribe("home/kept")
    equal(late.message().retain, True)
    client.send_disconnect()
    client.close()


def publishing_without_a_connection(hub):
    subscriber = Client(hub).start()
    subscriber.subscribe("ab")
    client = MqttSnClient()
    client.open(HOST, hub.sn)
    client.send_publish_with_bytes(b"ab", b"alone", -1)
    equal(subscriber.message().payload, b"alone")
    client.close()


def subscribing_by_name_wildcard_and_short_name(hub):
    publisher = Client(hub).start()
    client = device(hub, "subscriber")
    inbox = Inbox()
    client.send_subscribe("home/door", 0, inbox)
    client.send_subscribe("garden/+/light", 0, inbox)
    client.send_subscribe("ab", 0, inbox)
    publisher.publish("home/door", b"open")
    publisher.publish("garden/north/light", b"on")
    publisher.publish("garden/south/light", b"off")
    equal(
        poll(client, inbox, 3),
        [("home/door", b"open", False), ("garden/north/light", b"on", False), ("garden/south/light", b"off", False)],
    )
    publisher.publish("ab", b"short")
    equal(poll(client, inbox, 1)[0][1], b"short")
    client.send_unsubscribe("home/door")
    publisher.publish("home/door", b"unheard")
    publisher.publish("garden/north/light", b"last")
    equal(poll(client, inbox, 1), [("garden/north/light", b"last", False)])
    client.send_disconnect()
    client.close()


def sleeping_and_waking(hub):
    publisher = Client(hub).start()
    client = device(hub, "sleeper")
    client.send_subscribe("home/door", 1, Inbox())
    client.send_disconnect(30)
    for number in range(5):
        publisher.publish("home/door", b"%d" % number, qos=number % 2)
    ping = PingReqPacket()
    ping.client_id = "sleeper"
    client.send_packet(ping.encode())
    found = []
    while (packet := take(client))[0] == "publish":
        found.append(packet[1])
    # Those of QoS 0 wait beside the session, the others in it.
    equal(sorted(found), [b"%d" % number for number in range(5)])
    equal(packet, ("pingresp", None))
    publisher.publish("home/door", b"awake")
    client.send_connect()
    client.send_disconnect()
    client.close()


def a_session_that_is_kept(hub):
    publisher = Client(hub).start()
    client = device(hub, "keeper", clean=False)
    client.send_subscribe("home/#", 1, Inbox())
    client.send_disconnect()
    publisher.publish("home/door", b"waiting")
    client.send_connect()
    equal(take(client), ("publish", b"waiting"))
    client.send_disconnect()
    client.close()


def a_will_that_is_changed(hub):
    subscriber = Client(hub).start()
    subscriber.subscribe("wills/#", 1)
    client = device(hub, "dying", keep_alive=1, will=("wills/one", "first", 1, False))
    client.send_will_topic_update("wills/two")
    client.send_will_message_update("second")
    message = subscriber.message()
    equal((message.topic, message.payload), ("wills/two", b"second"))
    client.close()


def what_is_refused(hub):
    client = device(hub, "refused")
    for attempt in (
        lambda: client.send_publish_predefined(999, b"x", 1),
        lambda: client.send_subscribe("home/#/door", 0, Inbox()),
        lambda: client.send_publish("$SYS/x", b"x", 1),
    ):
        try:
            attempt()
        except MqttSnClientException as refusal:
            equal("Rejected" in str(refusal), True)
        else:
            raise AssertionError("it was not refused")
    client.send_disconnect()
    client.close()


def the_client_of_rsmb(hub):
    """Messages of every QoS in both directions. It takes messages of short topics only, and its goodbye fails by itself."""
    received = queue.Queue()

    class Callback(mqttsn.client.Callback):
        def message_arrived(self, topic_name, payload, qos, retained, msgid):
            received.put((payload, qos))
            return True

    subscriber = Client(hub).start()
    subscriber.subscribe("rs", 2)
    client = mqttsn.client.Client(b"rsmb", host=HOST, port=hub.sn)
    client.register_callback(Callback())
    client.connect()
    equal(client.subscribe("rs", 2)[0], 0)
    for qos in (0, 1, 2):
        client.publish("rs", "%d" % qos, qos=qos)
        equal(subscriber.message().payload, b"%d" % qos)
        payload, at = received.get(timeout=DEADLINE_S)
        equal((bytes(payload), at), (b"%d" % qos, qos))
    client.sock.close()


if __name__ == "__main__":
    main(globals())
