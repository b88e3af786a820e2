from __future__ import annotations

import pytest

from aigw_proto._entropy import Entropy
from aigw_proto._errors import CloseCode, LocalProtocolError
from aigw_proto._kinds import Signal
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.client import ClosedBy, ConnectionLost, GatewayUrl, OpenConnection, Opened, OpenFailed, OpenRefused
from aigw_proto.client._session import Session
from aigw_proto.ws import BinaryMessage, Closed, Failed, Opening, Ping, Pong, TextMessage, UpgradeOffer, WSConnection
from support.client_bench import counted

URL = GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/")


def new() -> Session:
    return Session(
        OpenConnection(URL),
        now=0.0,
        entropy=Entropy(counted),
        http=HttpLimits(),
        websocket=WebSocketLimits(),
        open_timeout_seconds=5.0,
    )


def join(session: Session) -> WSConnection:
    """Shake hands; the server's first frame comes in the segment of its 101."""
    opening = Opening.server(now=0.0)
    opening.receive_data(b"".join(session.data_to_send()), 0.0)
    assert isinstance(opening.next_event(), UpgradeOffer)
    opening.accept()
    head = b"".join(opening.data_to_send())
    assert opening.next_event() is Signal.SWITCHED
    server = opening.connection(now=0.0)
    server.send_text("early")
    session.receive_data(head + b"".join(server.data_to_send()), 1.0)
    assert isinstance(session.next_event(), Opened)
    assert session.next_event() == TextMessage("early")
    assert session.next_event() is Signal.NEED_DATA
    return server


def bring(server: WSConnection, session: Session) -> None:
    session.receive_data(b"".join(server.data_to_send()), 2.0)


def test_before_it_is_open_nothing_can_be_said() -> None:
    session = new()
    session.data_to_send()
    session.send_text([b"{}"])
    session.close(1000, "", 0.0)
    session.reject("nonsense", CloseCode.PROTOCOL_ERROR)
    session.set_reading(enabled=False, now=0.0)
    assert session.data_to_send() == []
    assert session.next_event() is Signal.NEED_DATA
    assert session.next_timeout() == 5.0


def test_the_handshake_has_a_deadline() -> None:
    session = new()
    session.handle_timeout(5.0)
    assert isinstance(session.next_event(), OpenFailed)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "closed before the handshake was over"), (b"HTTP/1.1 200", "no WebSocket server")]
)
def test_an_end_before_the_answer(data: bytes, reason: str) -> None:
    session = new()
    session.receive_data(data, 0.0)
    session.receive_eof(0.0)
    failed = session.next_event()
    assert isinstance(failed, OpenFailed)
    assert reason in failed.reason


def test_pings_are_answered_and_pongs_taken() -> None:
    session = new()
    server = join(session)
    server.send_ping(b"1")
    server.send_pong(b"2")
    server.send_text("after")
    bring(server, session)
    assert session.next_event() == TextMessage("after")
    server.receive_data(b"".join(session.data_to_send()), 2.0)
    assert server.next_event() == Pong(b"1")


def test_binary_messages_go_both_ways() -> None:
    session = new()
    session.send_binary(b"too early")
    server = join(session)
    server.send_binary(b"\x00")
    bring(server, session)
    assert session.next_event() == BinaryMessage(b"\x00")
    session.send_binary(b"\x01")
    session.close(1000, "", 2.0)
    session.send_binary(b"too late")
    server.receive_data(b"".join(session.data_to_send()), 2.0)
    assert server.next_event() == BinaryMessage(b"\x01")
    assert isinstance(server.next_event(), Closed)


def openness(session: Session) -> bool:
    return session.is_open  # through a function, because type checkers take a level for constant


def test_it_is_open_until_either_side_says_close() -> None:
    session = new()
    assert not openness(session)
    server = join(session)
    assert openness(session)
    server.send_close(1012, "restart")
    bring(server, session)
    assert openness(session)  # not read yet
    assert session.next_event() is Signal.NEED_DATA
    assert not openness(session)
    session.close(1000, "", 2.0)
    session.receive_eof(2.0)
    assert session.next_event() == ConnectionLost(1012, "restart", clean=True, closed_by=ClosedBy.PEER)
    session = new()
    join(session)
    session.close(1000, "", 2.0)
    assert not openness(session)


@pytest.mark.parametrize(
    ("closed_first", "closed_by"), [(False, ClosedBy.NETWORK), (True, ClosedBy.PROGRAM)], ids=["open", "closing"]
)
def test_a_stream_that_ends_without_close(closed_first: bool, closed_by: ClosedBy) -> None:
    session = new()
    join(session)
    if closed_first:
        session.close(1000, "", 2.0)
    session.receive_eof(2.0)
    assert session.next_event() == ConnectionLost(1006, "", clean=False, closed_by=closed_by)


def test_after_close_nothing_is_sent() -> None:
    session = new()
    server = join(session)
    session.close(1000, "", 2.0)
    session.close(1000, "", 2.0)
    session.send_text([b"{}"])
    server.receive_data(b"".join(session.data_to_send()), 2.0)
    assert server.next_event() == Closed(1000, "", clean=True)
    bring(server, session)
    session.receive_eof(3.0)
    assert session.next_event() == ConnectionLost(1000, "", clean=True, closed_by=ClosedBy.PROGRAM)


def test_a_dead_gateway_is_noticed_only_while_it_is_read() -> None:
    session = new()
    server = join(session)
    session.set_reading(enabled=False, now=2.0)
    assert session.next_timeout() is None
    session.set_reading(enabled=True, now=100.0)
    assert session.next_timeout() == 130.0
    session.handle_timeout(130.0)
    server.receive_data(b"".join(session.data_to_send()), 130.0)
    assert isinstance(server.next_event(), Ping)
    session.handle_timeout(160.0)
    lost = session.next_event()
    assert isinstance(lost, ConnectionLost)
    assert (lost.code, lost.closed_by) == (1006, ClosedBy.CLIENT)


def test_a_bad_field_is_the_callers_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="header 'host'"):
        Session(
            OpenConnection(URL, headers=(("host", "x"),)),
            now=0.0,
            entropy=Entropy(counted),
            http=HttpLimits(),
            websocket=WebSocketLimits(),
            open_timeout_seconds=5.0,
        )


def test_a_broken_frame_fails_the_connection() -> None:
    session = new()
    join(session)
    session.receive_data(b"\xff\xff\xff\xff", 2.0)
    lost = session.next_event()
    assert isinstance(lost, ConnectionLost)
    assert lost.code == 1002
    assert not isinstance(lost, Failed)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}", 401),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", None),
        (b"SSH-2.0-x\r\n\r\n", None),
    ],
)
def test_answers_that_open_nothing(answer: bytes, status: int | None) -> None:
    session = new()
    session.receive_data(answer, 0.0)
    event = session.next_event()
    if status is None:
        assert isinstance(event, OpenFailed)
        assert "no WebSocket server" in event.reason
    else:
        assert isinstance(event, OpenRefused)
        assert (event.status, event.body) == (status, b"{}")


def test_a_gateway_that_talks_nonsense_is_rejected() -> None:
    session = new()
    server = join(session)
    session.send_text([b'{"a":', b"1}"])
    session.reject("nonsense", CloseCode.PROTOCOL_ERROR)
    server.receive_data(b"".join(session.data_to_send()), 2.0)
    assert server.next_event() == TextMessage('{"a":1}')
    assert server.next_event() == Closed(1002, "nonsense", clean=True)
    assert session.next_event() == ConnectionLost(1002, "nonsense", clean=False, closed_by=ClosedBy.CLIENT)
