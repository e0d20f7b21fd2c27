"""JSON lines on a plain socket, where what the system of the client does matters."""

import json
import socket
import time
import urllib.request

from rig import DEADLINE_S, HOST, equal, main


def readers(hub):
    with urllib.request.urlopen(f"http://{HOST}:{hub.http}/metrics") as answer:
        text = answer.read().decode()
    line = next(line for line in text.splitlines() if line.startswith('trefoil_connections{kind="json_tcp"}'))
    return int(line.split()[-1])


def reader(hub):
    """A client that has subscribed."""
    connection = socket.create_connection((HOST, hub.tcp), timeout=DEADLINE_S)
    # So long its system remembers a socket that was closed; else that is a minute.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
    connection.sendall(b'{"sub":"room"}\n')
    lines = connection.makefile("r", encoding="utf-8")
    equal(json.loads(lines.readline()), {"sub": "room", "qos": 0})
    return connection, lines


def a_reader_that_is_gone(hub):
    """Who closes its socket is noticed though nothing is sent; who only closes its writing side goes on reading."""
    stays, lines = reader(hub)
    stays.shutdown(socket.SHUT_WR)
    # One after the other, so that the one that stays is asked as often as the others are.
    for _ in range(2):
        goes, its_lines = reader(hub)
        equal(readers(hub), 2)
        its_lines.close()
        goes.close()
        end = time.monotonic() + DEADLINE_S
        while readers(hub) > 1:
            equal(time.monotonic() < end, True)
            time.sleep(0.01)
    with socket.create_connection((HOST, hub.tcp)) as publisher:
        publisher.sendall(b'{"pub":"room","data":1}\n')
    equal(json.loads(lines.readline()), {"topic": "room", "data": 1})


if __name__ == "__main__":
    main(globals())
