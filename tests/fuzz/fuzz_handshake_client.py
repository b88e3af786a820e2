"""Any answer to an upgrade, in any cuts: accepted only if it accepts what was asked for; never an error.

The input: what was asked for, in one byte, then what the server sends. The key is always the same.
"""

from __future__ import annotations

from aigw_proto import Entropy, HttpLimits, Signal
from aigw_proto.http import Failed, StreamEnded
from aigw_proto.testing import run_machine
from aigw_proto.ws import (
    Closed,
    DeflatePolicy,
    Opening,
    OpeningEvent,
    UpgradeAccepted,
    UpgradeRefused,
    WebSocketEvent,
)
from aigw_proto.ws import Failed as ConnectionFailed
from fuzz.script import Script, cuts

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3, and its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SUBPROTOCOLS: list[tuple[str, ...]] = [(), ("chat",), ("realtime", "openai-beta.realtime-v1")]
POLICIES = [None, DeflatePolicy(), DeflatePolicy(True, True, 9, 10)]
LIMITS = HttpLimits(max_head_bytes=2048)


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    options = script.octet()
    subprotocols, policy = SUBPROTOCOLS[options % 3], POLICIES[options // 3 % 3]
    stream = script.rest()

    def run(chunks: list[bytes]) -> tuple[list[OpeningEvent], list[WebSocketEvent]]:
        opening = Opening.client(
            now=0.0, host=b"h", target=b"/", key=KEY, subprotocols=subprotocols, deflate=policy, limits=LIMITS
        )
        events: list[OpeningEvent] = run_machine(opening, chunks, eof=True)
        if opening.next_event() is not Signal.SWITCHED:
            return events, []
        connection = opening.connection(now=0.0, entropy=Entropy(bytes))
        received: list[WebSocketEvent] = run_machine(connection, [], eof=True)
        return events, received

    events, received = run([stream])
    for chunks in cuts(stream):
        assert run(chunks) == (events, received)
    (event,) = events
    match event:
        case UpgradeAccepted():
            check_accepted(event, subprotocols, policy, stream)
            assert isinstance(received[-1], Closed | ConnectionFailed)
        case UpgradeRefused():
            assert event.reason
            assert len(event.body) <= len(stream)
        case _:
            assert isinstance(event, Failed | StreamEnded)
            assert not received


def check_accepted(
    accepted: UpgradeAccepted, subprotocols: tuple[str, ...], policy: DeflatePolicy | None, stream: bytes
) -> None:
    """Only what was offered can have been agreed on, and only with the right answer to the key."""
    assert accepted.subprotocol is None or accepted.subprotocol in subprotocols
    assert ACCEPT in stream
    assert [value for name, value in accepted.headers if name.lower() == b"sec-websocket-accept"] == [ACCEPT]
    if accepted.deflate is not None:
        assert policy is not None
        assert 8 <= accepted.deflate.server_max_window_bits <= policy.server_max_window_bits
        assert 8 <= accepted.deflate.client_max_window_bits <= policy.client_max_window_bits
        assert accepted.deflate.server_no_context_takeover >= policy.server_no_context_takeover
