"""The opening handshake as a machine: both roles, every cut, refusals, deadlines, and peers nobody here wrote."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

import pytest
import wsproto
import wsproto.events
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Opcode as TheirOpcode
from websockets.http11 import Request as TheirRequest
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from aigw_proto import LocalProtocolError, Signal
from aigw_proto._entropy import Entropy
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.http import Failed, StreamEnded
from aigw_proto.testing import ConnectionPair, chunkings
from aigw_proto.ws import (
    BinaryMessage,
    DeflateParameters,
    DeflatePolicy,
    Opening,
    OpeningEvent,
    TextMessage,
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
REQUEST = (
    b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)
HELLO_TO_SERVER = b"\x81\x85\0\0\0\0hello"
HELLO_TO_CLIENT = b"\x81\x05hello"


def entropy() -> Entropy:
    return Entropy(random.Random(1).randbytes)


def client(
    *, subprotocols: tuple[str, ...] = (), deflate: DeflatePolicy | None = None, limits: HttpLimits | None = None
) -> Opening:
    return Opening.client(
        now=0.0,
        host=b"a",
        target=b"/x",
        key=KEY,
        subprotocols=subprotocols,
        deflate=deflate,
        limits=limits or HttpLimits(),
    )


def drain(opening: Opening) -> tuple[list[OpeningEvent], Signal]:
    events: list[OpeningEvent] = []
    while not isinstance(event := opening.next_event(), Signal):
        events.append(event)
    return events, event


def feed(opening: Opening, chunks: Iterable[bytes], *, eof: bool = False) -> tuple[list[OpeningEvent], Signal]:
    events, signal = drain(opening)
    for chunk in chunks:
        opening.receive_data(chunk, 0.0)
        more, signal = drain(opening)
        events += more
    if eof:
        opening.receive_eof(0.0)
        more, signal = drain(opening)
        events += more
    return events, signal


def sent(opening: Opening) -> bytes:
    return b"".join(opening.data_to_send())


# --- servers ---


def test_server_for_every_cut() -> None:
    for chunks in chunkings(REQUEST + HELLO_TO_SERVER):
        opening = Opening.server(now=0.0)
        events, signal = feed(opening, chunks)
        assert [type(event) for event in events] == [UpgradeOffer]
        assert signal is Signal.BLOCKED
        accepted = opening.accept(headers=[(b"x", b"y")])
        assert accepted.subprotocol is None
        assert sent(opening) == ANSWER[:-2] + b"x: y\r\n\r\n"
        assert opening.next_event() is Signal.SWITCHED
        connection = opening.connection(now=0.0)
        assert connection.next_event() == TextMessage("hello")


def test_server_takes_unconsumed_bytes_by_hand() -> None:
    opening = Opening.server(now=0.0)
    feed(opening, [REQUEST + HELLO_TO_SERVER])
    opening.accept()
    assert opening.unconsumed() == HELLO_TO_SERVER
    assert opening.connection(now=0.0).next_event() is Signal.NEED_DATA


def test_server_rejects() -> None:
    opening = Opening.server(now=0.0)
    feed(opening, [REQUEST])
    opening.reject(401, b'{"no": 1}', [(b"content-type", b"application/json")])
    assert sent(opening) == (
        b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 9\r\nconnection: close\r\n\r\n"
        b'{"no": 1}'
    )
    assert opening.next_event() is Signal.NEED_DATA
    for act in (opening.accept, lambda: opening.reject(401)):
        with pytest.raises(LocalProtocolError):
            act()


def test_server_rejects_with_an_own_close() -> None:
    opening = Opening.server(now=0.0)
    feed(opening, [REQUEST])
    opening.reject(503, headers=[(b"Connection", b"Close")])
    assert sent(opening).lower().count(b"close") == 1


def test_server_mistakes_change_nothing() -> None:
    opening = Opening.server(now=0.0)
    for act in (opening.accept, lambda: opening.reject(401), lambda: opening.connection(now=0.0), opening.unconsumed):
        with pytest.raises(LocalProtocolError):
            act()
    feed(opening, [REQUEST])
    with pytest.raises(LocalProtocolError):
        opening.accept(subprotocol="a")
    with pytest.raises(LocalProtocolError):
        opening.reject(101)
    with pytest.raises(LocalProtocolError):
        opening.connection(now=0.0)
    opening.accept()
    for act in (opening.accept, lambda: opening.reject(401)):
        with pytest.raises(LocalProtocolError):
            act()
    assert sent(opening) == ANSWER


@pytest.mark.parametrize(
    ("wire", "status", "header"),
    [
        (REQUEST.replace(b": 13", b": 12"), 426, b"sec-websocket-version: 13"),
        (REQUEST.replace(b"Upgrade: websocket\r\n", b""), 426, b"upgrade: websocket"),
        (REQUEST.replace(b"GET", b"PUT"), 405, b"allow: GET"),
        (REQUEST.replace(KEY, b"short"), 400, b"connection: close"),
        (b"GET /health HTTP/1.0\r\n\r\n", 400, b"connection: close"),
    ],
)
def test_server_answers_bad_handshakes_itself(wire: bytes, status: int, header: bytes) -> None:
    for chunks in chunkings(wire, cuts=2):
        opening = Opening.server(now=0.0)
        (event,), signal = feed(opening, chunks)
        assert isinstance(event, UpgradeRefused)
        assert (event.status, signal) == (status, Signal.NEED_DATA)
        answer = sent(opening)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert header.lower() in answer.lower()
        assert answer.endswith(event.reason.encode() + b"\n")


def test_server_sends_no_body_to_head() -> None:
    opening = Opening.server(now=0.0)
    feed(opening, [REQUEST.replace(b"GET", b"HEAD")])
    assert sent(opening).endswith(b"\r\n\r\n")


def test_server_sends_no_body_to_a_head_that_is_bad_http() -> None:
    opening = Opening.server(now=0.0)
    (event,), _ = feed(opening, [b"HEAD / HTTP/2.0\r\n\r\n"])
    assert isinstance(event, Failed)
    assert sent(opening).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("wire", "status"), [(b"\x16\x03\x01\x02", 400), (b"PRI * HTTP/2.0\r\n\r\n", 505), (b"GET /" + b"x" * 70_000, 431)]
)
def test_server_answers_bad_http_itself(wire: bytes, status: int) -> None:
    opening = Opening.server(now=0.0)
    (event,), signal = feed(opening, [wire])
    assert isinstance(event, Failed)
    assert (event.status, signal) == (status, Signal.NEED_DATA)
    assert sent(opening).startswith(b"HTTP/1.1 %d " % status)


def test_server_whose_peer_leaves() -> None:
    opening = Opening.server(now=0.0)
    assert feed(opening, [], eof=True) == ([StreamEnded()], Signal.NEED_DATA)
    assert sent(opening) == b""


def test_server_deadline() -> None:
    opening = Opening.server(now=0.0, limits=HttpLimits(head_timeout_seconds=3.0))
    assert opening.next_timeout() == 3.0
    opening.handle_timeout(3.0)
    (event,), _ = drain(opening)
    assert isinstance(event, Failed)
    assert event.status == 408
    assert sent(opening) == b""  # nobody has asked anything
    opening = Opening.server(now=0.0, limits=HttpLimits(head_timeout_seconds=3.0))
    opening.receive_data(b"GET", 1.0)
    opening.handle_timeout(3.0)
    drain(opening)
    assert sent(opening).startswith(b"HTTP/1.1 408 ")


# --- clients ---


def test_client_for_every_cut() -> None:
    for chunks in chunkings(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ANSWER + HELLO_TO_CLIENT):
        opening = client()
        assert sent(opening) == REQUEST
        (event,), signal = feed(opening, chunks)
        assert isinstance(event, UpgradeAccepted)
        assert signal is Signal.SWITCHED
        assert opening.next_timeout() is None
        connection = opening.connection(now=0.0, entropy=entropy(), limits=WebSocketLimits())
        assert connection.next_event() == TextMessage("hello")


@pytest.mark.parametrize(
    "framing", [b"content-length: 4\r\n\r\nno!\n", b"transfer-encoding: chunked\r\n\r\n4\r\nno!\n\r\n0\r\n\r\n"]
)
def test_client_is_refused_with_a_body_for_every_cut(framing: bytes) -> None:
    for chunks in chunkings(b"HTTP/1.1 401 Unauthorized\r\nx: y\r\n" + framing):
        opening = client()
        events, signal = feed(opening, chunks)
        (event,) = events
        assert isinstance(event, UpgradeRefused)
        assert (event.status, event.headers[0], event.body) == (401, (b"x", b"y"), b"no!\n")
        assert signal is Signal.NEED_DATA
        assert opening.next_timeout() is None
        with pytest.raises(LocalProtocolError):
            opening.connection(now=0.0, entropy=entropy())


def test_client_is_refused_with_a_body_that_breaks_off() -> None:
    for tail, eof in ((b"", True), (b"content-length: 9\r\n\r\nno", True), (b"content-length: 1\r\n\r\nno", False)):
        opening = client()
        events, _ = feed(opening, [b"HTTP/1.1 500 \r\n" + (tail or b"\r\nno")], eof=eof)
        assert [(type(event), getattr(event, "status", 0)) for event in events] == [(UpgradeRefused, 500)]


def test_client_keeps_the_beginning_of_a_long_body() -> None:
    opening = client()
    opening.receive_data(b"HTTP/1.1 500 \r\n\r\n", 0.0)
    events: list[OpeningEvent] = []
    tracemalloc.start()
    try:
        for _ in range(200):
            opening.receive_data(bytes(50_000), 0.0)
            events += drain(opening)[0]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    (event,) = events
    assert isinstance(event, UpgradeRefused)
    assert event.body == bytes(65536)


@pytest.mark.parametrize(
    "wire",
    [
        ANSWER.replace(ACCEPT, ACCEPT[::-1]),
        ANSWER.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        ANSWER[:-2] + b"Sec-WebSocket-Protocol: a\r\n\r\n",
        ANSWER[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    ],
)
def test_client_refuses_bad_answers_for_every_cut(wire: bytes) -> None:
    for chunks in chunkings(wire + HELLO_TO_CLIENT, cuts=2):
        (event,), signal = feed(client(), chunks)
        assert isinstance(event, UpgradeRefused)
        assert (event.status, signal) == (101, Signal.NEED_DATA)


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 1", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_client_whose_peer_speaks_something_else(wire: bytes) -> None:
    (event,), signal = feed(client(), [wire], eof=True)
    assert isinstance(event, Failed)
    assert (event.status, event.received_any, signal) == (502, bool(wire), Signal.NEED_DATA)


def test_client_deadline() -> None:
    opening = client(limits=HttpLimits(head_timeout_seconds=4.0))
    assert opening.next_timeout() == 4.0
    opening.handle_timeout(3.9)
    assert drain(opening) == ([], Signal.NEED_DATA)
    opening.handle_timeout(4.0)
    (event,), _ = drain(opening)
    assert isinstance(event, Failed)
    assert event.status == 408
    assert opening.next_timeout() is None


def test_client_deadline_within_a_refusal_keeps_what_came() -> None:
    opening = client(limits=HttpLimits(head_timeout_seconds=4.0))
    feed(opening, [b"HTTP/1.1 503 \r\ncontent-length: 9\r\n\r\nbusy"])
    opening.handle_timeout(4.0)
    (event,), _ = drain(opening)
    assert isinstance(event, UpgradeRefused)
    assert (event.status, event.body) == (503, b"busy")


def test_client_cannot_answer() -> None:
    opening = client()
    for act in (opening.accept, lambda: opening.reject(400)):
        with pytest.raises(LocalProtocolError):
            act()


def test_client_needs_a_good_request() -> None:
    with pytest.raises(LocalProtocolError):
        Opening.client(now=0.0, host=b"a", target=b"/", key=b"bad")
    with pytest.raises(LocalProtocolError):
        Opening.client(now=0.0, host=b"a", target=b"/ ", key=KEY)


# --- together ---


@pytest.mark.parametrize("policy", [None, DeflatePolicy(), DeflatePolicy(True, True, 9, 8)])
def test_two_openings_become_two_connections(policy: DeflatePolicy | None) -> None:
    opening = client(subprotocols=("b", "a"), deflate=policy)
    serving = Opening.server(now=0.0)
    pair = ConnectionPair(opening, serving)
    pair.pump()
    (offer,) = pair.right_events
    assert isinstance(offer, UpgradeOffer)
    assert (offer.subprotocols, offer.target) == (("b", "a"), b"/x")
    serving.accept(subprotocol="a", deflate=policy)
    pair.pump()
    (accepted,) = pair.left_events
    assert isinstance(accepted, UpgradeAccepted)
    assert accepted.subprotocol == "a"
    assert (accepted.deflate is None) == (policy is None)
    ours = opening.connection(now=0.0, entropy=entropy())
    theirs = serving.connection(now=0.0)
    text = "compress me " * 100
    ours.send_text(text)
    theirs.send_binary(text.encode())
    talk = ConnectionPair(ours, theirs)
    talk.pump()
    assert talk.right_events == [TextMessage(text)]
    assert talk.left_events == [BinaryMessage(text.encode())]


def test_websockets_server_talks_with_our_client() -> None:
    opening = client(deflate=DeflatePolicy())
    server = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()])
    server.receive_data(sent(opening))
    (request,) = server.events_received()
    assert isinstance(request, TheirRequest)
    server.send_response(server.accept(request))
    server.send_text(b"hello " * 50)
    (event,), signal = feed(opening, server.data_to_send())
    assert isinstance(event, UpgradeAccepted)
    assert event.deflate == DeflateParameters()
    assert signal is Signal.SWITCHED
    connection = opening.connection(now=0.0, entropy=entropy())
    assert connection.next_event() == TextMessage("hello " * 50)
    connection.send_text("back " * 50)
    server.receive_data(b"".join(connection.data_to_send()))
    (frame,) = server.events_received()
    assert (getattr(frame, "opcode", None), getattr(frame, "data", None)) == (TheirOpcode.TEXT, b"back " * 50)


def test_websockets_client_talks_with_our_server() -> None:
    their = ClientProtocol(parse_uri("ws://a/x"), extensions=[ClientPerMessageDeflateFactory()])
    their.send_request(their.connect())
    opening = Opening.server(now=0.0)
    (offer,), _ = feed(opening, their.data_to_send())
    assert isinstance(offer, UpgradeOffer)
    opening.accept(deflate=DeflatePolicy())
    their.receive_data(sent(opening))
    assert their.handshake_exc is None
    their.events_received()
    their.send_text(b"hello " * 50)
    connection = opening.connection(now=0.0)
    connection.receive_data(b"".join(their.data_to_send()), 0.0)
    assert connection.next_event() == TextMessage("hello " * 50)


def test_wsproto_client_talks_with_our_server() -> None:
    their = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    request = their.send(wsproto.events.Request(host="a", target="/x", subprotocols=["s"]))
    opening = Opening.server(now=0.0)
    feed(opening, [request])
    opening.accept(subprotocol="s")
    their.receive_data(sent(opening))
    (event,) = their.events()
    assert isinstance(event, wsproto.events.AcceptConnection)
    assert event.subprotocol == "s"


# --- any bytes ---


@settings(max_examples=150)
@given(
    base=st.sampled_from([b"", REQUEST, ANSWER, b"HTTP/1.1 401 \r\ncontent-length: 2\r\n\r\nno"]),
    where=st.integers(0, 200),
    junk=st.binary(max_size=6),
    cut=st.integers(1, 40),
    server=st.booleans(),
)
def test_any_bytes(base: bytes, where: int, junk: bytes, cut: int, server: bool) -> None:
    wire = base[:where] + junk + base[where + 1 :]

    def run(step: int) -> tuple[list[OpeningEvent], Signal]:
        opening = Opening.server(now=0.0) if server else client()
        return feed(opening, [wire[start : start + step] for start in range(0, len(wire), step)], eof=True)

    assert run(len(wire) + 1) == run(cut) == run(1)
