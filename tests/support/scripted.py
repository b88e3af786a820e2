"""A provider whose answers are numbered, so that an observer can tell what is missing, doubled or out of order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aigw_proto._kinds import Role, Signal
from aigw_proto.http import BodyPiece, EndOfMessage, H1Connection, Request, Response

if TYPE_CHECKING:
    from aigw_transports.memory import Peer
    from support.rig import Rig


class NumberedProvider:
    """Answers `{"tag", "n", "form", "pad"}` with `n` numbered items; `fault` and `after` break the answer."""

    def __init__(self, rig: Rig) -> None:
        self.bodies: dict[str, list[bytes]] = {}
        rig.on_provider = lambda peer: _Connection(self, peer)

    def note(self, body: bytes) -> dict[str, Any]:
        order: dict[str, Any] = json.loads(body)
        self.bodies.setdefault(order["tag"], []).append(body)
        return order


class _Connection:
    def __init__(self, provider: NumberedProvider, peer: Peer) -> None:
        self.provider = provider
        self.peer = peer
        self.http = H1Connection(Role.SERVER, now=0.0)
        self.body = b""
        self.served = 0
        self.closed = False
        peer.on_data = self.on_data
        peer.on_end = self.close

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.peer.close()

    def on_data(self, data: bytes) -> None:
        self.http.receive_data(data, 0.0)
        while not self.closed and not isinstance(event := self.http.next_event(), Signal):
            if isinstance(event, Request):
                self.body = b""
            elif isinstance(event, BodyPiece):
                self.body += event.data
            elif isinstance(event, EndOfMessage):
                self.answer(self.provider.note(self.body))
            else:
                self.close()

    def answer(self, order: dict[str, Any]) -> None:
        fault, after = order.get("fault"), order.get("after", 0)
        items = [
            json.dumps({"tag": order["tag"], "i": i, "pad": "x" * order["pad"]}).encode() for i in range(order["n"])
        ]
        self.served += 1
        if fault == "stale" and self.served > 1:
            self.close()
        elif fault == "status":
            self.whole(b'{"error":"no"}', status=503)
        elif fault == "garbage":
            self.peer.send(b"SSH-2.0-nonsense\r\n\r\n")
            self.close()
        elif order["form"] == "json":
            self.json(order, items, cut=fault in ("cut", "reset"))
        else:
            self.stream(order["form"], items, fault, after)

    def json(self, order: dict[str, Any], items: list[bytes], *, cut: bool) -> None:
        body = b'{"tag":"%b","items":[%b]}' % (order["tag"].encode(), b",".join(items))
        if cut:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.peer.send(head + body[:-1])
            self.close()
        else:
            self.whole(body)

    def whole(self, body: bytes, status: int = 200) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        self.http.send_response(Response(status, headers))
        self.http.send_data(body)
        self.finish()

    def stream(self, form: str, items: list[bytes], fault: str | None, after: int) -> None:
        kind = b"text/event-stream" if form == "sse" else b"application/x-ndjson"
        self.http.send_response(Response(200, [(b"content-type", kind), (b"transfer-encoding", b"chunked")]))
        for number, item in enumerate(items):
            if fault in ("cut", "reset") and number == after:
                self.flush()
                if fault == "cut":
                    self.close()
                else:
                    self.closed = True
                    self.peer.reset()
                return
            self.http.send_data(b"data: %b\n\n" % item if form == "sse" else item + b"\n")
        if form == "sse":
            self.http.send_data(b"data: [DONE]\n\n")
        self.finish()

    def finish(self) -> None:
        self.http.end_message()
        self.flush()

    def flush(self) -> None:
        for chunk in self.http.data_to_send():
            self.peer.send(chunk)
