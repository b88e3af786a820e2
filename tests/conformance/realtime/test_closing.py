"""How a session ends: codes and reasons both ways, lost connections, broken rules, and peers that never let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.realtime_frames import BINARY, CLOSE, FIN, PING, TEXT, Message, close_payload
from support.realtime_side import leave
from support.realtime_stage import HURRY_WEBSOCKET

if TYPE_CHECKING:
    from support.realtime_side import Side
    from support.realtime_stage import Stage

CLOSES = {
    "1000": (1000, b""),
    "1000 with a reason": (1000, "bis später ✓".encode()),
    "1001": (1001, b"going away"),
    "1003": (1003, b"no binary, please"),
    "1007": (1007, b"Request contains an invalid argument."),
    "1008": (1008, b"policy"),
    "1009": (1009, b"too big"),
    "1011": (1011, b"internal"),
    "1012": (1012, b"restart"),
    "1013": (1013, b"try again later"),
    "3000": (3000, b"invalid_request_error.session_expired"),
    "3999": (3999, b""),
    "4007": (4007, b"ours"),
    "4999": (4999, b""),
    "the longest reason": (1008, ("ü" * 61 + "x").encode()),
    "without a status": (None, b""),
}
CLOSERS = pytest.mark.parametrize("closer", ["client", "provider"])


def roles(sides: tuple[Side, Side], closer: str) -> tuple[Side, Side]:
    """Return who acts and who is told."""
    client, provider = sides
    return (client, provider) if closer == "client" else (provider, client)


def open_as(stage: Stage, closer: str) -> tuple[Side, Side]:
    return roles(stage.pair(), closer)


@CLOSERS
@pytest.mark.parametrize("name", CLOSES)
def test_a_close(stage: Stage, closer: str, name: str) -> None:
    client, provider = stage.pair()
    speaker, listener = roles((client, provider), closer)
    code, reason = CLOSES[name]
    speaker.close(code, reason)
    assert listener.got_close() == (code, reason)
    listener.close(code)
    assert speaker.got_close() == (code, b"")
    leave(client, provider)


@CLOSERS
@pytest.mark.parametrize("answer", [(1000, b"bye"), (4321, b"my own"), (None, b"")], ids=str)
def test_the_answer_travels_too(stage: Stage, closer: str, answer: tuple[int | None, bytes]) -> None:
    client, provider = stage.pair()
    speaker, listener = roles((client, provider), closer)
    speaker.close(3000, b"I")
    assert listener.got_close() == (3000, b"I")
    listener.close(*answer)
    assert speaker.got_close() == answer
    leave(client, provider)


def test_both_close_at_once(stage: Stage) -> None:
    client, provider = stage.pair()
    client.close(4001, b"client")
    provider.close(4002, b"provider")
    assert client.got_close() == (4002, b"provider")
    assert provider.got_close() == (4001, b"client")
    leave(client, provider)


@CLOSERS
def test_all_that_was_said_before_a_close_arrives(stage: Stage, closer: str) -> None:
    client, provider = stage.pair()
    speaker, listener = roles((client, provider), closer)
    words = [Message(BINARY, b"%d" % number * 1000) for number in range(500)]
    speaker.send(*map(speaker.whole, words), speaker.frame(FIN | CLOSE, close_payload(1000)))
    for word in words:
        assert listener.message() == word
    assert listener.got_close() == (1000, b"")
    listener.close(1000)
    assert speaker.got_close() == (1000, b"")
    leave(client, provider)


@CLOSERS
def test_what_the_other_side_says_before_it_answers_a_close(stage: Stage, closer: str) -> None:
    client, provider = stage.pair()
    speaker, listener = roles((client, provider), closer)
    listener.send(listener.frame(TEXT, b"begun, "))
    assert speaker.next_frame().payload == b"begun, "
    speaker.close(1000)
    assert listener.got_close() == (1000, b"")
    listener.send(listener.frame(0, b"going on, "), listener.frame(FIN, b"done"), listener.frame(FIN | TEXT, b"more"))
    assert [speaker.next_frame().payload for _ in range(3)] == [b"going on, ", b"done", b"more"]
    listener.close(1000, b"that was all")
    assert speaker.got_close() == (1000, b"that was all")
    leave(client, provider)


@CLOSERS
@pytest.mark.parametrize("how", ["close", "end_sending"])
def test_a_close_without_waiting_for_the_answer(stage: Stage, closer: str, how: str) -> None:
    speaker, listener = open_as(stage, closer)
    speaker.send(speaker.whole(Message(TEXT, b"last words")), speaker.frame(FIN | CLOSE, close_payload(4007, b"off")))
    getattr(speaker.wire, how)()
    assert listener.text() == "last words"
    assert listener.got_close() == (4007, b"off")
    listener.close(4007)
    listener.wire.close()


@CLOSERS
def test_a_close_behind_much_that_is_not_read_yet(stage: Stage, closer: str) -> None:
    client, provider = stage.pair()
    speaker, listener = roles((client, provider), closer)
    words = [Message(BINARY, b"%d" % number * 1000) for number in range(5000)]
    listener.wire.set_reading(False)
    speaker.send(*map(speaker.whole, words))
    speaker.close(4007, b"enough")
    stage.settle()
    listener.wire.set_reading(True)
    for word in words:
        assert listener.message() == word
    assert listener.got_close() == (4007, b"enough")
    listener.close(4007, b"yes")
    assert speaker.got_close() == (4007, b"yes")
    leave(client, provider)


# ---- what only a gateway does ------------------------------------------------------------------------------------


@CLOSERS
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_code_that_no_close_may_carry(relay: Stage, closer: str, code: int) -> None:
    speaker, listener = open_as(relay, closer)
    speaker.close(code, b"not allowed")
    assert speaker.got_close()[0] == 1002
    code_told, _ = listener.got_close()
    assert code_told == 1011
    listener.close(1011)
    listener.wire.end_sending()
    speaker.ended()
    listener.ended()


BROKEN_RULES = {
    "half a code": (FIN | CLOSE, b"\x03", 1002),
    "a reason that is no UTF-8": (FIN | CLOSE, b"\x03\xe8\xff", 1007),
    "a long close": (FIN | CLOSE, b"\x03\xe8" + b"x" * 124, 1002),
    "a long ping": (FIN | PING, b"x" * 126, 1002),
    "a ping in fragments": (PING, b"x", 1002),
    "a reserved bit": (FIN | 0x20 | TEXT, b"x", 1002),
    "compressed without being asked": (FIN | 0x40 | TEXT, b"x", 1002),
    "an unknown opcode": (FIN | 3, b"x", 1002),
    "nothing to continue": (FIN, b"x", 1002),
}


@CLOSERS
@pytest.mark.parametrize("name", BROKEN_RULES)
def test_a_broken_rule(relay: Stage, closer: str, name: str) -> None:
    speaker, listener = open_as(relay, closer)
    head, payload, code = BROKEN_RULES[name]
    speaker.send(speaker.whole(Message(TEXT, b"fine so far")), speaker.frame(head, payload))
    assert speaker.got_close()[0] == code
    assert listener.text() == "fine so far"
    assert listener.got_close()[0] == 1011
    listener.close(1011)
    listener.wire.end_sending()
    speaker.ended()
    listener.ended()


@CLOSERS
@pytest.mark.parametrize(
    "length", [b"\x7e\x00\x01", b"\x7f" + (1).to_bytes(8, "big"), b"\x7f\xff" + bytes(7)], ids=["126", "127", "2^63"]
)
def test_a_length_that_is_not_allowed(relay: Stage, closer: str, length: bytes) -> None:
    speaker, listener = open_as(relay, closer)
    masked = speaker.frame(FIN)[1] & 0x80
    speaker.send(bytes((FIN | BINARY, length[0] | masked)) + length[1:] + bytes(4) * bool(masked) + b"x")
    assert speaker.got_close()[0] == 1002
    assert listener.got_close()[0] == 1011


@CLOSERS
def test_a_frame_without_end(relay: Stage, closer: str) -> None:
    """The longest frame that there may be is as good as any; that it never ends is the other side's matter."""
    speaker, listener = open_as(relay, closer)
    masked = speaker.frame(FIN)[1] & 0x80
    head = bytes((FIN | BINARY, 127 | masked)) + ((1 << 63) - 1).to_bytes(8, "big") + bytes(4) * bool(masked)
    with relay.steady(1 << 21):
        speaker.send(head, bytes(1 << 20))
        got = 0
        while got < (1 << 20) - (1 << 16):
            got += len(listener.next_frame().payload)
        listener.close(1009, b"too big")
        assert speaker.got_close() == (1009, b"too big")


def test_frames_that_are_masked_and_should_not_be(relay: Stage) -> None:
    for closer in ("client", "provider"):
        client, provider = relay.pair()
        speaker, listener = roles((client, provider), closer)
        speaker.send(listener.frame(FIN | TEXT, b"x"))
        assert speaker.got_close()[0] == 1002
        assert listener.got_close()[0] == 1011


@CLOSERS
@pytest.mark.parametrize("when", ["between messages", "within a message", "within a frame", "within a frame's head"])
@pytest.mark.parametrize("how", ["close", "end_sending", "reset"])
def test_a_lost_connection(relay: Stage, closer: str, how: str, when: str) -> None:
    speaker, listener = open_as(relay, closer)
    speaker.say("hello")
    assert listener.text() == "hello"
    whole = speaker.whole(Message(BINARY, bytes(50_000)))
    match when:
        case "within a message":
            speaker.send(speaker.frame(TEXT, b"begun"))
            assert listener.next_frame().payload == b"begun"
        case "within a frame":
            speaker.send(whole[:40_000])
            relay.settle()
        case "within a frame's head":
            speaker.send(whole[:3])
        case _:
            pass
    before = relay.time
    getattr(speaker.wire, how)()
    got = listener.next_frame()
    while got.opcode != CLOSE:
        assert when == "within a frame"
        assert not got.is_final
        got = listener.next_frame()
    assert int.from_bytes(got.payload[:2], "big") == 1011
    if before is not None and relay.time is not None:
        assert relay.time - before < 0.01, "there and on: two times the way of a segment"
    listener.close(1011)
    listener.wire.end_sending()
    listener.ended()
    if how == "end_sending":
        speaker.ended()


@CLOSERS
def test_a_lost_connection_after_much_was_said(relay: Stage, closer: str) -> None:
    speaker, listener = open_as(relay, closer)
    words = [Message(BINARY, b"%d" % number * 1000) for number in range(500)]
    speaker.send(*map(speaker.whole, words))
    speaker.wire.close()
    for word in words:
        assert listener.message() == word
    assert listener.got_close()[0] == 1011


@CLOSERS
def test_a_peer_that_never_answers_a_close(hurried: Stage, closer: str) -> None:
    """Who closed is answered all the same, and the stream of the other is cut."""
    speaker, listener = open_as(hurried, closer)
    speaker.close(4007, b"bye")
    assert listener.got_close() == (4007, b"bye")
    before = hurried.time
    assert speaker.got_close() == (4007, b"")
    if before is not None and hurried.time is not None:
        assert hurried.time - before < 0.6 * HURRY_WEBSOCKET["close_timeout_seconds"], "it gave up waiting before that"
    listener.broke()
    speaker.ended()
    hurried.all_released()


@CLOSERS
def test_a_peer_that_never_ends_its_stream(hurried: Stage, closer: str) -> None:
    """Both have closed and neither lets go of its stream: the gateway does."""
    speaker, listener = open_as(hurried, closer)
    speaker.close(1000)
    assert listener.got_close() == (1000, b"")
    listener.close(1000)
    assert speaker.got_close() == (1000, b"")
    speaker.ended()
    listener.ended()
    hurried.all_released()


@CLOSERS
def test_a_peer_that_answers_a_lost_connection_never(hurried: Stage, closer: str) -> None:
    speaker, listener = open_as(hurried, closer)
    speaker.wire.reset()
    assert listener.got_close()[0] == 1011
    listener.broke()
    hurried.all_released()


@CLOSERS
def test_a_peer_that_broke_a_rule_and_stays(hurried: Stage, closer: str) -> None:
    speaker, listener = open_as(hurried, closer)
    speaker.send(speaker.frame(FIN | 3))
    assert speaker.got_close()[0] == 1002
    assert listener.got_close()[0] == 1011
    listener.broke()
    hurried.all_released()


SECRET = "sk-1234567890"


@CLOSERS
def test_a_secret_in_a_reason_is_hidden(relay: Stage, closer: str) -> None:
    """And the rest of it stays, though it fills the frame."""
    sides = relay.pair("openai", "?model=m", f"Authorization: Bearer {SECRET}")
    speaker, listener = roles(sides, closer)
    before, behind = "clé incorrecte\u202f: ".encode(), b" " + "é".encode() * 44
    speaker.close(1008, before + SECRET.encode() + behind)
    code, told = listener.got_close()
    assert code == 1008
    assert SECRET not in told.decode()
    assert told.startswith(before)
    assert told.endswith(behind)
