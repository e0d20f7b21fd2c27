"""Bans as paho-mqtt and websockets see them."""

import json
import urllib.request

import websockets.sync.client
from paho.mqtt.client import MQTTv311
from websockets.exceptions import ConnectionClosed

from rig import DEADLINE_S, HOST, Client, equal, main


def call(hub, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{HOST}:{hub.http}{path}", data, {"Content-Type": "application/json"},
                                     method=method)
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        return json.load(response)


def cut_and_refused(hub):
    """A client is told why it goes and why it may not come, in MQTT and in a WebSocket."""
    five, three = Client(hub, "pump-5").start(), Client(hub, "pump-3", version=MQTTv311).start()
    page = Client(hub, "pump-page", transport="websockets").start()
    equal(call(hub, "POST", "/api/v1/bans", {"client_id": "pump-*"})["disconnected"], 3)
    for client in (five, three, page):
        equal(client.disconnected.wait(DEADLINE_S), True)
    equal((five.disconnect_reason.value, str(five.disconnect_reason)), (0x98, "Administrative action"))
    for client, name in ((five, "Banned"), (three, "Not authorized"), (page, "Banned")):
        _flags, reason, _answer = client.connect()
        equal(str(reason), name)
        client.paho.loop_stop()
    call(hub, "DELETE", "/api/v1/bans/client_id/pump-*")
    Client(hub, "pump-5").start().stop()

    with websockets.sync.client.connect(f"ws://{HOST}:{hub.http}/ws") as socket:
        socket.send('{"ping":1}')
        equal(json.loads(socket.recv(timeout=DEADLINE_S)), {"pong": 1})
        equal(call(hub, "POST", "/api/v1/bans", {"client_id": "ws-*"})["disconnected"], 1)
        equal(json.loads(socket.recv(timeout=DEADLINE_S))["error"]["code"], "not_authorized")
        try:
            socket.recv(timeout=DEADLINE_S)
        except ConnectionClosed as closed:
            equal((closed.rcvd.code, closed.rcvd.reason), (1008, "this client id is banned"))
        else:
            raise AssertionError("the socket is still open")


if __name__ == "__main__":
    main(globals())
