"""`websockets` over a Unix socket."""

import json
import os

from websockets.sync.client import unix_connect

from rig import DEADLINE_S, equal, main


def websocket(_):
    """A WebSocket over a Unix socket subscribes and gets what it publishes."""
    with unix_connect(os.environ["TREFOIL_SOCKET"], "ws://hub/ws") as connection:
        connection.send(json.dumps({"sub": "room/#", "id": 1}))
        equal(json.loads(connection.recv(timeout=DEADLINE_S))["ack"], 1)
        connection.send(json.dumps({"pub": "room/ws", "data": [1], "qos": 1, "id": 2}))
        found = [json.loads(connection.recv(timeout=DEADLINE_S)) for _ in range(2)]
        equal(sorted(found, key=str), sorted([{"ack": 2}, {"topic": "room/ws", "data": [1]}], key=str))


if __name__ == "__main__":
    main(globals())
