"""Channels with nothing but urllib: no WebSocket, and no connection that is kept."""

import json
import threading
import urllib.error
import urllib.request

from rig import DEADLINE_S, HOST, equal, main


class Page:
    """What a page behind a bad proxy has: one request after the other."""

    def __init__(self, hub, *requests):
        self.base = f"http://{HOST}:{hub.http}"
        opened = json.loads(self.ask("/channel", list(requests) if requests else None))
        self.path = "/channel/" + opened["channel"]
        self.after = 0
        self.objects = []

    def ask(self, path, requests=None, method="POST"):
        body = None
        if method == "POST":
            body = b"" if requests is None else json.dumps(requests).encode()
        request = urllib.request.Request(self.base + path, body, {"Content-Type": "text/plain"}, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return answer.read()

    def say(self, *requests):
        equal(self.ask(self.path, list(requests)), b"")

    def hear(self):
        """The next object."""
        while not self.objects:
            answer = json.loads(self.ask(f"{self.path}?after={self.after}", method="GET"))
            equal(answer["next"], self.after + len(answer["objects"]))
            self.after = answer["next"]
            self.objects = answer["objects"]
        return self.objects.pop(0)

    def close(self):
        self.ask(self.path + "/close")
        try:
            self.ask(f"{self.path}?after={self.after}", method="GET")
        except urllib.error.HTTPError as gone:
            equal(gone.code, 410)
            equal(json.load(gone)["error"]["code"], "gone")
        else:
            raise AssertionError("the channel is still there")


def long_polling(hub):
    ann = Page(hub, {"hello": {"client": "ann"}, "id": 1}, {"sub": "room/1", "qos": 1, "id": 2})
    equal(ann.hear()["hello"]["client"], "ann")
    equal(ann.hear(), {"sub": "room/1", "qos": 1, "ack": 2})
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(ann.hear()))
    waiting.start()
    bob = Page(hub)
    bob.say({"pub": "room/1", "data": {"from": "bob"}, "qos": 1, "id": 9})
    equal(bob.hear(), {"ack": 9})
    waiting.join(DEADLINE_S)
    message = heard[0]
    equal((message["data"], message["qos"]), ({"from": "bob"}, 1))
    ann.say({"ack": message["id"]}, {"unsub": "room/1", "id": 3})
    equal(ann.hear(), {"unsub": "room/1", "ack": 3})
    ann.close()
    bob.close()


def events(hub):
    page = Page(hub, {"sub": "news/#"})
    page.hear()
    request = urllib.request.Request(page.base + page.path,
                                     headers={"Accept": "text/event-stream", "Last-Event-ID": str(page.after)})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as stream:
        equal(stream.headers["Content-Type"], "text/event-stream")
        equal(stream.headers["X-Accel-Buffering"], "no")
        for n in range(3):
            page.say({"pub": f"news/{n}", "data": n})
        lines = (line.decode().strip() for line in stream)
        found = [next(line for line in lines if line.startswith(("id:", "data:"))) for _ in range(6)]
    equal(found, [line for n in range(3)
                  for line in (f"id: {n + 2}", f'data: {{"topic":"news/{n}","data":{n}}}')])
    # It had the first of them.
    page.after = 2
    equal([page.hear()["data"] for _ in range(2)], [1, 2])
    page.close()


if __name__ == "__main__":
    main(globals())
