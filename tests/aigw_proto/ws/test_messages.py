"""A WebSocket that a framework has framed, against a server's machines and against the gateway itself."""

from __future__ import annotations

import json
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto import (
    BytesReceived,
    CloseLink,
    Journal,
    LinkAccepted,
    LocalProtocolError,
    Signal,
)
from aigw_proto._kinds import LinkId
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings, RequestRecord
from aigw_proto.providers import ProviderTable
from aigw_proto.testing import Playbook
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    MessageEvent,
    MessageSocket,
    Opcode,
    Opening,
    TextMessage,
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    WSConnection,
)

HEADERS = [
    (b"Host", b"api.example:1"),
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    (b"Sec-WebSocket-Protocol", b"one, two"),
    (b"Authorization", b" Bearer x\t"),
    (b"Origin", b"http://page.example"),
]


LIMITS = WebSocketLimits()


def opened(limits: WebSocketLimits = LIMITS) -> MessageSocket:
    return MessageSocket(now=0.0, target=b"/a?b=c", headers=HEADERS, subprotocols=("one", "two"), limits=limits)


def events(socket: MessageSocket) -> list[MessageEvent]:
    return list(iter(lambda: event_or_none(socket), None))


def event_or_none(socket: MessageSocket) -> MessageEvent | None:
    event = socket.next_event()
    if isinstance(event, Signal):
        assert event is Signal.NEED_DATA
        return None
    return event


class Server:
    """The engine's end of the link."""

    def __init__(self, socket: MessageSocket) -> None:
        self.socket = socket
        self.opening = Opening.server(now=0.0)
        for data in socket.data_to_send():
            self.opening.receive_data(data, 0.0)
        offer = self.opening.next_event()
        assert isinstance(offer, UpgradeOffer)
        self.offer = offer

    def accept(self, *, headers: list[tuple[bytes, bytes]] | None = None) -> WSConnection:
        self.opening.accept(subprotocol="two", headers=headers)
        self.flush(self.opening)
        assert self.opening.next_event() is Signal.SWITCHED
        return self.opening.connection(now=0.0)

    def flush(self, machine: Opening | WSConnection, now: float = 0.0) -> None:
        for data in machine.data_to_send():
            self.socket.receive_data(data, now)

    def take(self, connection: WSConnection, now: float = 0.0) -> list[object]:
        for data in self.socket.data_to_send():
            connection.receive_data(data, now)
        if self.socket.ended:
            connection.receive_eof(now)
        taken: list[object] = []
        while (event := connection.next_event()) is not Signal.NEED_DATA:
            taken.append(event)
        return taken


def talking(limits: WebSocketLimits = LIMITS) -> tuple[MessageSocket, Server, WSConnection]:
    socket = opened(limits)
    server = Server(socket)
    connection = server.accept()
    (accepted,) = events(socket)
    assert isinstance(accepted, UpgradeAccepted)
    return socket, server, connection


def test_what_the_framework_has_read_becomes_a_request() -> None:
    offer = Server(opened()).offer
    assert (offer.target, offer.host, offer.subprotocols, offer.extensions) == (
        b"/a?b=c",
        b"api.example:1",
        ("one", "two"),
        (),
    )
    assert offer.origin == b"http://page.example"
    assert [value for name, value in offer.headers if name.lower() == b"authorization"] == [b"Bearer x"]
    assert len([name for name, _ in offer.headers if name.lower() == b"connection"]) == 1


def test_a_request_without_a_host_gets_one() -> None:
    assert Server(MessageSocket(now=0.0, target=b"/", headers=[])).offer.host == b"localhost"


def test_the_answer_is_without_what_the_framework_writes_itself() -> None:
    socket = opened()
    Server(socket).accept(headers=[(b"X-Request-Id", b"7")])
    assert events(socket) == [UpgradeAccepted("two", None, [(b"x-request-id", b"7")])]
    assert not socket.ended
    assert socket.next_timeout() is None


def test_messages_both_ways() -> None:
    socket, server, connection = talking()
    socket.receive_text("héllo")
    socket.receive_text(b"bytes of text")
    socket.receive_binary(b"\x00\xff")
    assert server.take(connection) == [TextMessage("héllo"), TextMessage("bytes of text"), BinaryMessage(b"\x00\xff")]
    connection.send_text("yes")
    connection.send_piece(Opcode.BINARY, b"in ", finished=False)
    connection.send_ping(b"alive?")
    connection.send_piece(Opcode.BINARY, b"pieces", finished=True)
    server.flush(connection)
    assert events(socket) == [TextMessage("yes"), BinaryMessage(b"in pieces")]
    (pong,) = server.take(connection)
    assert type(pong).__name__ == "Pong"


def test_frames_behind_the_answer_are_messages() -> None:
    socket = opened()
    server = Server(socket)
    server.opening.accept()
    (answer,) = server.opening.data_to_send()
    socket.receive_data(answer + b"\x81\x02hi", 0.0)
    assert events(socket) == [UpgradeAccepted(None, None, []), TextMessage("hi")]


@given(st.lists(st.one_of(st.text(), st.binary())), st.integers(1, 50))
def test_messages_arrive_as_they_were_however_they_are_cut(messages: list[str | bytes], step: int) -> None:
    socket, _, connection = talking()
    for message in messages:
        if isinstance(message, str):
            connection.send_text(message)
        else:
            connection.send_binary(message)
    data = b"".join(connection.data_to_send())
    received: list[str | bytes] = []
    for start in range(0, len(data), step):
        socket.receive_data(data[start : start + step], 0.0)
        for event in events(socket):
            assert isinstance(event, TextMessage | BinaryMessage)
            received.append(event.data)
    assert received == messages


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [(1000, "bye", 1000), (4001, "", 4001), (None, "of no use", 1005), (1005, "", 1005)],
)
def test_the_client_closes(code: int | None, reason: str, seen: int) -> None:
    socket, server, connection = talking()
    socket.receive_text("first")
    socket.receive_disconnect(code, reason, now=1.0)
    socket.receive_disconnect(code, reason, now=1.0)
    closed = Closed(seen, reason if seen != 1005 else "", clean=True)
    assert server.take(connection, 1.0) == [TextMessage("first"), closed]
    assert not socket.ended
    server.flush(connection)
    socket.receive_eof(1.0)
    (end,) = events(socket)
    assert isinstance(end, Closed)
    assert end.clean
    assert socket.ended


@pytest.mark.parametrize("code", [1006, 1015, 0, 999])
def test_the_client_is_lost(code: int) -> None:
    socket, server, connection = talking()
    socket.receive_text("first")
    socket.receive_disconnect(code, now=1.0)
    socket.receive_disconnect(code, now=1.0)
    assert socket.ended
    assert server.take(connection, 1.0) == [TextMessage("first"), Closed(1006, "", clean=False)]
    assert events(socket) == []


def test_what_comes_behind_the_end_is_dropped() -> None:
    socket, server, connection = talking()
    socket.receive_disconnect(1000, now=0.0)
    socket.receive_text("too late")
    socket.receive_binary(b"too late")
    assert server.take(connection) == [Closed(1000, "", clean=True)]
    server.flush(connection)
    socket.receive_eof(0.0)
    assert events(socket) == [Closed(1000, "", clean=True)]
    socket.receive_text("much too late")
    socket.receive_data(b"\x81\x02hi", 0.0)
    socket.receive_eof(0.0)
    socket.handle_timeout(0.0)
    assert (events(socket), socket.data_to_send(), socket.next_timeout()) == ([], [], None)


@pytest.mark.parametrize(("code", "seen"), [(1001, 1001), (4321, 4321), (None, 1000)])
def test_the_engine_closes(code: int | None, seen: int) -> None:
    socket, server, connection = talking()
    connection.send_close(code, "enough" if code else "", now=0.0)
    server.flush(connection)
    assert events(socket) == []
    (closed,) = server.take(connection)
    assert isinstance(closed, Closed)
    socket.receive_eof(0.0)
    assert events(socket) == [Closed(seen, "enough" if code else "", clean=True)]
    assert socket.ended


def test_the_engine_s_link_breaks() -> None:
    socket, _, _ = talking()
    socket.receive_eof(0.0)
    assert events(socket) == [Closed(1011, "", clean=False)]


def test_the_engine_says_too_much() -> None:
    socket, server, connection = talking(limits=WebSocketLimits(max_message_bytes=10))
    connection.send_text("x" * 11)
    server.flush(connection)
    (closed,) = events(socket)
    assert isinstance(closed, Closed)
    assert (closed.code, closed.clean, socket.ended) == (1009, False, True)
    (seen, *_) = server.take(connection)
    assert isinstance(seen, Closed)
    assert seen.code == 1009


def test_the_engine_does_not_answer_the_close() -> None:
    socket, _, _ = talking(limits=WebSocketLimits(close_timeout_seconds=5.0))
    socket.handle_timeout(1e6)  # nothing is asked of a silent engine
    assert socket.data_to_send() == []
    socket.receive_disconnect(1000, now=1e6)
    assert socket.next_timeout() == 1e6 + 5.0
    socket.handle_timeout(1e6 + 5.0)
    assert events(socket) == [Closed(1011, "no Close in answer to ours", clean=False)]
    assert socket.ended


def test_a_refusal() -> None:
    socket = opened()
    server = Server(socket)
    server.opening.reject(403, b"no", [(b"Content-Type", b"text/plain")])
    server.flush(server.opening)
    (refused,) = events(socket)
    assert isinstance(refused, UpgradeRefused)
    assert (refused.status, refused.headers, refused.body) == (403, [(b"content-type", b"text/plain")], b"no")
    assert socket.ended
    socket.receive_text("who cares")
    assert socket.data_to_send() == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the stream ended"),
        (b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Sec-WebSocket-Accept"),
        (b"SMTP, what else\r\n\r\n", ""),
    ],
)
def test_no_answer_that_could_be_passed_on(answer: bytes, reason: str) -> None:
    socket = opened()
    if answer:
        socket.receive_data(answer, 0.0)
    socket.receive_eof(0.0)
    (refused,) = events(socket)
    assert isinstance(refused, UpgradeRefused)
    assert (refused.status, refused.headers) == (503, [])
    assert reason in refused.reason
    assert socket.ended


def test_the_engine_is_not_waited_for_without_end() -> None:
    socket = MessageSocket(now=5.0, target=b"/", headers=[], http_limits=HttpLimits(head_timeout_seconds=2.0))
    assert socket.next_timeout() == 7.0
    socket.handle_timeout(6.9)
    assert events(socket) == []
    socket.handle_timeout(7.0)
    (refused,) = events(socket)
    assert isinstance(refused, UpgradeRefused)
    assert refused.status == 503


@pytest.mark.parametrize(
    ("target", "headers", "subprotocols"),
    [
        (b"no path", [], ()),
        (b"/", [(b"Host", b"a b")], ()),
        (b"/", [(b"X", b"line\r\nfeed")], ()),
        (b"/", [], ("one", "one")),
        (b"/", [], ("not a token",)),
    ],
)
def test_a_request_that_cannot_be_written_is_refused(
    target: bytes, headers: list[tuple[bytes, bytes]], subprotocols: tuple[str, ...]
) -> None:
    socket = MessageSocket(now=0.0, target=target, headers=headers, subprotocols=subprotocols)
    with pytest.raises(LocalProtocolError, match="not open yet"):
        socket.receive_text("early")
    (refused,) = events(socket)
    assert isinstance(refused, UpgradeRefused)
    assert refused.status == 400
    assert refused.reason
    assert socket.ended
    assert socket.data_to_send() == []


def test_a_message_before_the_answer_is_a_mistake() -> None:
    socket = opened()
    with pytest.raises(LocalProtocolError, match="not open yet"):
        socket.receive_binary(b"early")
    server = Server(socket)
    server.accept()
    assert isinstance(socket.next_event(), UpgradeAccepted)


def test_the_client_leaves_before_the_answer() -> None:
    socket = opened()
    socket.receive_disconnect(1001, now=0.0)
    assert socket.ended
    (request,) = socket.data_to_send()  # what was to be said before is still said
    assert request.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert events(socket) == []


LINK = LinkId(0)


def test_the_gateway_takes_it_for_a_client() -> None:
    config = GatewayConfig((GatewaySettings(),), ProviderTable.builtin())
    engine = GatewayEngine(config, random_bytes=random.Random(1).randbytes, epoch_unix_seconds=0.0)
    with Playbook(engine, ignore=(Journal,)) as play:
        socket = MessageSocket(now=play.now, target=b"/v1/local/default", headers=HEADERS)

        def exchange() -> None:
            play.feed(BytesReceived(LINK, b"".join(socket.data_to_send())))
            socket.receive_data(play.sent(LINK), play.now)

        play.feed(LinkAccepted(LINK, "192.0.2.1:4000"))
        exchange()
        assert isinstance(socket.next_event(), UpgradeAccepted)
        socket.receive_text('{"type": "universal.create", "request": {}}')
        exchange()
        answer = socket.next_event()
        assert isinstance(answer, TextMessage)
        assert json.loads(answer.data)["response"]["error"][0]["code"] == 2008
        socket.receive_disconnect(1000, now=play.now)
        exchange()
        play.expect(CloseLink(LINK))
        socket.receive_eof(play.now)
        assert socket.next_event() == Closed(1000, "", clean=True)
        assert socket.ended
    play.checked.finish()
    (journal,) = play.ignored
    assert isinstance(journal, Journal)
    assert isinstance(journal.entry, RequestRecord)
    assert journal.entry.peer == "192.0.2.1:4000"


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("client says"), st.one_of(st.text(), st.binary())),
        st.tuples(st.just("server says"), st.one_of(st.text(), st.binary())),
        st.tuples(st.just("server pings"), st.binary(max_size=125)),
        st.tuples(st.just("to server"), st.none()),
        st.tuples(st.just("to client"), st.none()),
        st.tuples(st.just("time passes"), st.floats(0.0, 20.0)),
        st.tuples(st.just("client leaves"), st.sampled_from([None, 1000, 1006, 4000])),
        st.tuples(st.just("server closes"), st.sampled_from([None, 1001, 4001])),
    ),
    max_size=40,
)


class Conversation:
    """Both sides at once, and what each has said and heard."""

    def __init__(self) -> None:
        self.socket, self.server, self.connection = talking()
        self.now = 0.0
        self.said_by_client: list[object] = []
        self.said_by_server: list[object] = []
        self.heard_by_server: list[object] = []
        self.heard_by_client: list[object] = []
        self.ends = 0

    def act(self, name: str, value: object) -> None:
        if name.startswith("server"):
            if self.connection.can_send:
                self.act_as_server(name, value)
        elif name == "to server":
            taken = self.server.take(self.connection, self.now)
            self.heard_by_server += [event.data for event in taken if isinstance(event, TextMessage | BinaryMessage)]
        elif name == "to client":
            self.bring_to_client()
        else:
            self.act_as_client(value)

    def act_as_server(self, name: str, value: object) -> None:
        match name, value:
            case "server says", str():
                self.connection.send_text(value)
                self.said_by_server.append(value)
            case "server says", bytes():
                self.connection.send_binary(value)
                self.said_by_server.append(value)
            case "server pings", bytes():
                self.connection.send_ping(value)
            case _:
                assert value is None or isinstance(value, int)
                self.connection.send_close(value, now=self.now)

    def act_as_client(self, value: object) -> None:
        match value:
            case str():
                self.socket.receive_text(value)
                self.said_by_client.append(value)
            case bytes():
                self.socket.receive_binary(value)
                self.said_by_client.append(value)
            case float():
                self.now += value
                self.socket.handle_timeout(self.now)
            case _:
                assert value is None or isinstance(value, int)
                self.socket.receive_disconnect(value, now=self.now)

    def bring_to_client(self) -> None:
        self.server.flush(self.connection, self.now)
        if not self.connection.can_send:
            self.socket.receive_eof(self.now)
        for event in events(self.socket):
            if isinstance(event, Closed):
                self.ends += 1
            else:
                assert isinstance(event, TextMessage | BinaryMessage)
                self.heard_by_client.append(event.data)


@given(ACTIONS)
def test_whatever_the_two_sides_do_it_ends_and_nothing_is_invented(actions: list[tuple[str, object]]) -> None:
    both = Conversation()
    for action in [*actions, *[("to server", None), ("to client", None)] * 3]:
        both.act(*action)
    assert both.heard_by_server == both.said_by_client[: len(both.heard_by_server)]
    assert both.heard_by_client == both.said_by_server[: len(both.heard_by_client)]
    assert both.ends <= 1
    if not both.socket.ended:  # nobody has closed, so nothing is lost either
        assert both.heard_by_server == both.said_by_client
        assert both.heard_by_client == both.said_by_server
    both.socket.receive_disconnect(1006, now=both.now)
    assert both.socket.ended
    assert both.socket.next_timeout() is None


def test_masks_are_zero_so_that_bytes_stand_as_they_were() -> None:
    socket, _, _ = talking()
    payload = os.urandom(300)
    socket.receive_binary(payload)
    assert payload in b"".join(socket.data_to_send())
