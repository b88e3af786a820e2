"""Any HTTP/1.1, in any cuts, either role: equal events and answers, and nothing read that h11 reads otherwise.

The input: role, method and manner in a byte each, then what the peer sends.
"""

from __future__ import annotations

from typing import TypeAlias

import h11

from aigw_proto import HttpLimits, Role, Signal
from aigw_proto.http import (
    BodyPiece,
    EndOfMessage,
    Failed,
    H1Connection,
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from fuzz.script import Script, cuts

METHODS = [b"GET", b"POST", b"HEAD", b"CONNECT"]
LIMITS = [HttpLimits(), HttpLimits(max_head_bytes=200, max_request_body_bytes=30)]
MAX_MESSAGES = 20
EMPTY_LINE = "no request line received"  # h11 refuses the empty lines before a request that RFC 9112 section 2.2 allows
Message: TypeAlias = tuple[object, list[tuple[bytes, bytes]], bytes]
"""What of a head has to be equal, its header fields, and the whole body."""


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    role = script.choice([Role.SERVER, Role.CLIENT])
    method, manner = script.choice(METHODS), script.octet()
    stream = script.rest()
    whole = Run(role, method, manner, [stream])
    for chunks in cuts(stream):
        cut = Run(role, method, manner, chunks)
        assert settled(cut.events) == settled(whole.events)
        assert cut.sent == whole.sent
    if not manner & Run.EARLY:
        theirs, is_excused = as_server(stream) if role is Role.SERVER else as_client(stream, method)
        ours = completed(whole.events)
        assert (ours[: len(theirs)] if is_excused else ours) == theirs[: len(ours)]
    whole.check()


class Run:
    """One connection, fed to its end; body pieces that follow each other are joined."""

    EARLY, SMALL, CONTINUES, TRAILERS = 1, 2, 4, 8

    def __init__(self, role: Role, method: bytes, manner: int, chunks: list[bytes]) -> None:
        self.role = role
        self.manner = manner
        self.limits = LIMITS[bool(manner & self.SMALL)]
        self.http = H1Connection(role, now=0.0, limits=self.limits)
        self.events: list[HttpEvent] = []
        self.asked = method
        if role is Role.CLIENT:
            self.http.send_request(Request(method, b"h:1" if method == b"CONNECT" else b"/", [(b"Host", b"h")]))
            self.http.end_message()
        for chunk in chunks:
            self.http.receive_data(chunk, 0.0)
            self.pull()
        self.http.receive_eof(0.0)
        self.pull()
        self.sent = b"".join(self.http.data_to_send())

    def pull(self) -> None:
        """Pull all events and, as a server, answer."""
        while not isinstance(event := self.http.next_event(), Signal):
            last = self.events[-1] if self.events else None
            if isinstance(event, BodyPiece) and isinstance(last, BodyPiece):
                self.events[-1] = BodyPiece(last.data + event.data)
            else:
                self.events.append(event)
            if self.role is Role.SERVER:
                self.answer(event)

    def answer(self, event: HttpEvent) -> None:
        """Answer a request when it is complete, or at once; a failure always."""
        if isinstance(event, Request):
            self.asked = event.method
            if self.manner & self.CONTINUES:
                self.http.send_continue()
        early = bool(self.manner & self.EARLY)
        answered = (Failed, Request if early else EndOfMessage)
        if isinstance(event, answered) and self.http.can_answer:  # after a failure whatever was asked for
            status = event.status if isinstance(event, Failed) else 404
            if self.manner & self.TRAILERS and (self.asked != b"HEAD" or isinstance(event, Failed)):
                self.http.send_response(Response(status, []))
                self.http.send_data(b"ok")
                self.http.end_message([(b"x-end", b"1")], now=0.0)
            else:
                self.http.send_response(Response(status, [(b"content-length", b"0")]))
                self.http.end_message(now=0.0)

    def check(self) -> None:
        """Terminal events come once and last, bodies are bounded, heads hold nothing that ends a line."""
        assert not any(isinstance(event, Failed | StreamEnded) for event in self.events[:-1])
        for event in self.events:
            if isinstance(event, BodyPiece) and self.role is Role.SERVER:
                assert len(event.data) <= self.limits.max_request_body_bytes
            elif isinstance(event, Request | Response | InformationalResponse):
                assert all(
                    name == name.lower() and not set(name + value) & set(b"\r\n\0") for name, value in event.headers
                )
            elif isinstance(event, Failed):
                assert event.reason
                assert 400 <= event.status < 600


def settled(events: list[HttpEvent]) -> list[HttpEvent]:
    """Leave out the part of a body that came before it was found too long: how much that is depends on the cuts."""
    if len(events) > 1 and isinstance(last := events[-1], Failed) and last.status == 413:
        return [*events[:-2], last] if isinstance(events[-2], BodyPiece) else events
    return events


def completed(events: list[HttpEvent]) -> list[Message]:
    """Return the messages that came as a whole."""
    messages: list[Message] = []
    head: object = None
    fields: list[tuple[bytes, bytes]] = []
    body = b""
    for event in events:
        match event:
            case Request():
                head, fields, body = (event.method, event.target, event.http_version), event.headers, b""
            case Response():
                head, fields, body = event.status, event.headers, b""
            case InformationalResponse():
                messages.append((event.status, event.headers, b""))
            case BodyPiece():
                body = event.data
            case EndOfMessage():
                messages.append((head, [*fields, *event.trailers], body))
            case _:
                pass
    return messages


def as_server(stream: bytes) -> tuple[list[Message], bool]:
    """Read requests with h11, answering each."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LIMITS[0].max_head_bytes)
    return _read(connection, stream)


def as_client(stream: bytes, method: bytes) -> tuple[list[Message], bool]:
    """Read the answer to one request with h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMITS[0].max_head_bytes)
    connection.send(
        h11.Request(method=method, target=b"h:1" if method == b"CONNECT" else b"/", headers=[("Host", "h")])
    )
    connection.send(h11.EndOfMessage())
    return _read(connection, stream)


def _read(connection: h11.Connection, stream: bytes) -> tuple[list[Message], bool]:
    messages: list[Message] = []
    head: object = None
    fields: list[tuple[bytes, bytes]] = []
    body = b""
    connection.receive_data(stream)
    connection.receive_data(b"")
    while len(messages) < MAX_MESSAGES:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if str(error) == EMPTY_LINE:
                return messages, True
            return messages, False
        if isinstance(event, h11.Request):
            head, fields, body = (event.method, event.target, event.http_version), list(event.headers), b""
        elif isinstance(event, h11.Response):
            head, fields, body = event.status_code, list(event.headers), b""
        elif isinstance(event, h11.InformationalResponse):
            messages.append((event.status_code, list(event.headers), b""))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            messages.append((head, [*fields, *event.headers], body))
            if connection.our_role is h11.SERVER:
                connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                break
            connection.start_next_cycle()
            if connection.our_role is h11.CLIENT:
                break
        else:
            break
    return messages, False
