"""Realtime sessions, input by input and effect by effect: relaying, closing from either side, the gateway's endings.

Opening and refusing are in `test_realtime_opening.py`, back-pressure is in `test_leg.py`, records are in
`test_ledger.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from aigw_proto._effects import Connect, Drained, Log, SendBytes, SetReading
from aigw_proto._errors import CloseCode
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto._limits import WebSocketLimits
from aigw_proto.gateway import _engine, _ledger, _realtime
from aigw_proto.gateway._realtime_opening import RealtimeOpening
from aigw_proto.gateway._state import REALTIME_TRANSITIONS, RealtimeState, RealtimeTrigger
from aigw_proto.ws import DeflatePolicy
from support.frames import frame, parse
from support.relays import (
    BINARY,
    CLIENT,
    PING,
    PONG,
    PROVIDER,
    TEXT,
    Relay,
    close,
    cut,
    finished,
    flushed,
    realtime_config,
    refused,
    session,
    told,
    upgrade,
)

OTHER = {CLIENT: PROVIDER, PROVIDER: CLIENT}
NAME = {CLIENT: "client", PROVIDER: "provider"}
SIDES = pytest.mark.parametrize("side", [CLIENT, PROVIDER], ids=["client", "provider"])


def says(play: Relay, side: Any, *frames: tuple[int, bytes]) -> None:
    """Let one side send frames in one piece."""
    data = b"".join(frame(head, payload, masked=side == CLIENT) for head, payload in frames)
    play.feed(BytesReceived(side, data))


class TestRelaying:
    @SIDES
    @pytest.mark.parametrize(
        ("frames", "lines"),
        [
            ([(TEXT, '{"n":1.10,"t":"日本\\u65e5"}'.encode())], ['text {"n":1.10,"t":"日本\\u65e5"}']),
            ([(BINARY, b"\x00\xff")], ["binary \x00\\xff"]),
            ([(TEXT, b"")], ["text"]),
            ([(BINARY, b"")], ["binary"]),
            ([(0x01, b"a"), (0x00, b"b"), (0x80, b"c")], ["text… a", "more… b", "more c"]),
            ([(0x02, b""), (0x00, b""), (0x80, b"")], ["binary…", "more…", "more"]),
            ([(TEXT, b"\xff\xfe")], ["text \\xff\\xfe"]),
            ([(TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3")], ["text 1", "binary 2", "text 3"]),
        ],
    )
    def test_what_is_sent_arrives(self, side: Any, frames: list[tuple[int, bytes]], lines: list[str]) -> None:
        with Relay().opened() as play:
            says(play, side, *frames)
            play.expect(told(OTHER[side], *lines))

    @SIDES
    def test_control_frames_stay_on_their_side(self, side: Any) -> None:
        with Relay().opened() as play:
            says(play, side, (0x01, b"a"), (PING, b"p"), (PONG, b"x"), (0x80, b"b"))
            play.expect(told(OTHER[side], "text… a", "more b"), told(side, "pong p"), any_order=True)

    def test_a_message_in_parts(self) -> None:
        """What is there of a long frame goes on as a fragment; the rest follows."""
        whole = bytes(range(256)) * 512
        data = frame(BINARY, whole, masked=False)
        with Relay().opened() as play:
            play.from_provider(data[:40_000])
            first = play.sent(CLIENT)
            play.from_provider(data[40_000:])
            assert first[0] == 0x02
            pieces = first + play.sent(CLIENT)
            position, payload = 0, b""
            heads: list[int] = []
            while position < len(pieces):
                head, form = pieces[position], pieces[position + 1]
                size = {126: 2, 127: 8}.get(form, 0)
                length = int.from_bytes(pieces[position + 2 : position + 2 + size], "big") if size else form
                start = position + 2 + size
                heads.append(head)
                payload += pieces[start : start + length]
                position = start + length
            assert payload == whole
            assert heads[0] == 0x02
            assert heads[-1] == 0x80
            assert set(heads[1:-1]) <= {0x00}

    def test_a_flood_leaves_room_for_others(self) -> None:
        """One read full of tiny frames takes several turns."""
        tiny = frame(TEXT, b"x", masked=False) * 1000
        with Relay().opened() as play:
            play.checked.handle(BytesReceived(PROVIDER, tiny), play.now)
            effects = 0
            while play.checked.poll() is not None:
                effects += 1
            assert play.checked.next_timeout() == play.now
            turns = 0
            sent = 0
            while play.checked.next_timeout() == play.now:
                play.checked.handle_timeout(play.now)
                turns += 1
                while (effect := play.checked.poll()) is not None:
                    sent += sum(map(len, getattr(effect, "chunks", [])))
            assert turns >= 1
            assert sent > 0

    @pytest.mark.parametrize(
        ("message", "headers", "count"),
        [
            (bytes(256), (), 64),
            (bytes(256), ("Sec-WebSocket-Extensions: permessage-deflate",), 32),
            (b'{"type":"response.done","response":{"usage":{"total_tokens":1}}}', (), 4),
        ],
        ids=["plain", "compressed", "recorded"],
    )
    def test_what_costs_more_is_less_in_a_quantum(self, message: bytes, headers: tuple[str, ...], count: int) -> None:
        """Compressing, and lines in the log, cost as much as many small pieces."""
        with Relay(realtime_config(deflate=DeflatePolicy())).opened("/v1/acc/default/openai?model=m", *headers) as play:
            play.checked.handle(BytesReceived(PROVIDER, frame(TEXT, message, masked=False) * 300), play.now)
            sent = [effect.chunks for effect in iter(play.checked.poll, None) if isinstance(effect, SendBytes)]
            frames = parse(b"".join(chunk for chunks in sent for chunk in chunks))
            assert len(frames) == _engine._QUANTA_PER_INPUT * count


class TestClosing:
    @SIDES
    @pytest.mark.parametrize(
        ("payload", "line"),
        [
            (close(1000), "close 1000"),
            (close(1001, "going"), "close 1001 going"),
            (close(1008, "policy"), "close 1008 policy"),
            (close(1011), "close 1011"),
            (close(3000), "close 3000"),
            (close(4007, "bye"), "close 4007 bye"),
            (close(), "close"),
        ],
    )
    def test_goes_through_and_the_answer_comes_back(self, side: Any, payload: bytes, line: str) -> None:
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, side, (TEXT, b"last"), (0x88, payload))
            play.expect(told(other, "text last", line))
            says(play, other, (TEXT, b"mine"), (0x88, close(4999, "and you")))
            play.expect(told(side, "text mine", "close 4999 and you"))
            if side == CLIENT:  # a server ends its stream, a client awaits that
                play.expect(flushed(CLIENT))
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            else:
                play.expect(flushed(CLIENT))
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            reason = payload[2:].decode()
            first, second = ("client", "provider") if side == CLIENT else ("provider", "client")
            play.expect(
                session(
                    closed_by=first,
                    error=None,
                    **{
                        f"{first}_close": code,
                        f"{first}_reason": reason,
                        f"{second}_close": 4999,
                        f"{second}_reason": "and you",
                        f"sent_to_{first}": 4999,
                        f"sent_to_{second}": code,
                    },
                )
            )
            play.checked.finish()

    def test_an_answer_without_status(self) -> None:
        with Relay().opened() as play:
            play.client_says(0x88, close(1000)).expect(told(PROVIDER, "close 1000"))
            play.provider_says(0x88).expect(told(CLIENT, "close"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(provider_close=1005, sent_to_client=1005))

    def test_both_at_once(self) -> None:
        with Relay().opened() as play:
            play.client_says(0x88, close(4001)).expect(told(PROVIDER, "close 4001"))
            play.provider_says(0x88, close(4002)).expect(told(CLIENT, "close 4002"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(client_close=4001, provider_close=4002))

    @SIDES
    def test_in_the_middle_of_a_message(self, side: Any) -> None:
        with Relay().opened() as play:
            says(play, side, (0x01, b"half"), (0x88, close(1000)))
            play.expect(told(OTHER[side], "text… half", "close 1000"))
            play.ignored.clear()
            says(play, OTHER[side], (0x88, close(1000)))
            play.expect(told(side, "close 1000"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session())

    @SIDES
    def test_secrets_stay_out_of_reasons(self, side: Any) -> None:
        with Relay().opened("/v1/acc/default/openai?model=m", "Authorization: Bearer sk-secret-key-1") as play:
            says(play, side, (0x88, close(4000, "bad key sk-secret-key-1")))
            play.expect(told(OTHER[side], "close 4000 bad key [token]"))
            says(play, OTHER[side], (0x88, close(4000)))
            play.expect(told(side, "close 4000"), flushed(CLIENT))
            reasons = {f"{NAME[side]}_reason": "bad key [token]"}
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(**reasons))

    @SIDES
    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
    def test_an_illegal_code(self, side: Any, code: int) -> None:
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, side, (0x88, close(code)))
            reason = f"the {NAME[side]}'s connection failed: close code {code} is not allowed in a frame"
            play.expect(told(other, f"close 1011 {reason}"), any_order=True)
            assert play.take(Log).message == "realtime connection failed"
            play.expect(told(side, f"close 1002 close code {code} is not allowed in a frame"), finished(side))
            says(play, other, (0x88, close(1011)))
            if other == CLIENT:
                play.expect(flushed(CLIENT))
            play.ends(side).expect(flushed(side))
            if other == PROVIDER:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(closed_by="gateway", **{f"sent_to_{NAME[side]}": 1002, f"sent_to_{NAME[other]}": 1011}))

    @SIDES
    @pytest.mark.parametrize("clean", [True, False])
    def test_a_lost_connection(self, side: Any, clean: bool) -> None:
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, side, (TEXT, b"x"))
            play.expect(told(other, "text x"))
            play.ends(side, clean=clean)
            play.expect(told(other, f"close 1011 the {NAME[side]}'s connection was lost"))
            play.expect(flushed(side) if clean else cut(side))
            says(play, other, (TEXT, b"nobody hears it"), (0x88, close(1011)))
            if other == CLIENT:
                play.expect(flushed(CLIENT))
            else:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(closed_by=NAME[side], error="the connection was lost", **{f"{NAME[side]}_close": 1006}))

    def test_lost_while_the_answer_to_a_close_is_awaited(self) -> None:
        with Relay().opened() as play:
            play.client_says(0x88, close(4007, "bye")).expect(told(PROVIDER, "close 4007 bye"))
            play.ends(PROVIDER).expect(told(CLIENT, "close 4007"), any_order=True)
            play.expect(flushed(PROVIDER), flushed(CLIENT), session(closed_by="client"), any_order=True)

    def test_who_closes_and_leaves(self) -> None:
        """A client that ends its stream right behind its Close has said what it had to say."""
        with Relay().opened() as play:
            play.client_says(0x88, close(4007)).expect(told(PROVIDER, "close 4007"))
            play.ends(CLIENT, clean=False).expect(cut(CLIENT))
            play.provider_says(0x88, close(4007)).expect()
            play.ends(PROVIDER).expect(
                flushed(PROVIDER), session(closed_by="client", client_close=4007, provider_close=4007)
            )

    def test_nobody_answers_a_close(self) -> None:
        """Whoever closed is answered after half of the deadline, the other side is cut at its end."""
        with Relay().opened() as play:
            play.client_says(0x88, close(4007)).expect(told(PROVIDER, "close 4007"))
            play.wait(4.9).expect()
            play.wait(0.2).expect(told(CLIENT, "close 4007"), flushed(CLIENT))
            play.wait(4.8).expect()
            play.wait(0.2)
            assert play.take(Log).details["reason"] == "no Close in answer to ours"
            play.expect(flushed(PROVIDER), session(closed_by="client", client_close=4007, provider_close=1006))
            play.checked.finish()

    @SIDES
    def test_what_is_still_said_before_the_answer_comes_at_once(self, side: Any) -> None:
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, side, (0x88, close(1000)))
            play.expect(told(other, "close 1000"))
            says(play, other, (TEXT, b"one more"))
            play.expect(told(side, "text one more"))
            says(play, other, (0x88, close(1000)))
            play.expect(told(side, "close 1000"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session())

    def test_a_provider_that_does_not_end_its_stream(self) -> None:
        with Relay().opened() as play:
            play.client_says(0x88, close(1000)).expect(told(PROVIDER, "close 1000"))
            play.provider_says(0x88, close(1000)).expect(told(CLIENT, "close 1000"), flushed(CLIENT))
            play.wait(11.0).expect(flushed(PROVIDER), session(closed_by="client"))

    @SIDES
    def test_a_broken_rule(self, side: Any) -> None:
        """One side's fault is told to it as what it is, and to the other as a failure of its peer."""
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, side, (TEXT, b"good"), (0x83, b"bad"))
            play.expect(
                told(other, "text good", f"close 1011 the {NAME[side]}'s connection failed: opcode 0x3 is reserved"),
                any_order=True,
            )
            assert play.take(Log).details["side"] == NAME[side]
            play.expect(told(side, "close 1002 opcode 0x3 is reserved"), finished(side))
            play.wait(2.1).expect(flushed(side))
            play.wait(10.0)
            play.take(Log)
            play.expect(flushed(other), session(closed_by="gateway", error=f"{NAME[side]}: opcode 0x3 is reserved"))

    @SIDES
    def test_a_broken_rule_behind_our_close(self, side: Any) -> None:
        """No second Close is sent, and the record names the first."""
        other = OTHER[side]
        with Relay().opened() as play:
            says(play, other, (0x88, close(4007)))
            play.expect(told(side, "close 4007"))
            says(play, side, (0x83, b"bad"))
            play.take(Log)
            ends = [flushed(CLIENT)] if other == CLIENT else []
            play.expect(told(other, "close 4007"), finished(side), *ends, any_order=True)
            play.ends(side).expect(flushed(side))
            if other == PROVIDER:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(**{f"sent_to_{NAME[side]}": 4007, f"sent_to_{NAME[other]}": 4007}))


class TestOpening:
    """Only what the session itself does; what is asked and answered has tests of its own."""

    def test_a_refusal(self) -> None:
        with Relay().asked() as play:
            play.from_provider(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n")
            play.expect(cut(PROVIDER), refused(429), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=429, closed_by="provider"))

    def test_in_small_steps(self) -> None:
        with Relay().asked() as play:
            data = play.accepting()
            play.from_provider(data[:9]).expect()
            play.from_provider(data[9:])
            assert play.sent(CLIENT).startswith(b"HTTP/1.1 101 ")

    def test_a_provider_that_ends_right_behind_its_answer(self) -> None:
        with Relay().asked() as play:
            play.checked.handle(BytesReceived(PROVIDER, play.accepting()[:-1]), play.now)
            assert play.checked.poll() is None
            play.from_provider(b"\n")
            play.sent(CLIENT)
            play.ends(PROVIDER).expect(told(CLIENT, "close 1011 the provider's connection was lost"), flushed(PROVIDER))

    def test_a_provider_that_has_ended_when_its_answer_is_read(self) -> None:
        """Others were at work when both came, so the end was there before anybody looked at the answer."""
        busy = LinkId(2)
        with Relay().asked() as play:
            play.feed(LinkAccepted(busy, "192.0.2.1:4001"))
            play.feed(BytesReceived(busy, upgrade("/v1/acc/default")))
            play.sent(busy)
            for event in (
                BytesReceived(busy, frame(PING, b"") * 5000),
                BytesReceived(PROVIDER, play.accepting()),
                PeerClosed(PROVIDER, clean=True),
            ):
                play.checked.handle(event, play.now)
                assert not [each for each in iter(play.checked.poll, None) if getattr(each, "link", busy) != busy]
            told_client = b""
            while play.checked.next_timeout() == play.now:
                play.checked.handle_timeout(play.now)
                for effect in iter(play.checked.poll, None):
                    if isinstance(effect, SendBytes) and effect.link == CLIENT:
                        told_client += b"".join(effect.chunks)
            assert told_client.startswith(b"HTTP/1.1 101 ")
            assert told_client.endswith(b"the provider's connection was lost")

    def test_an_unreachable_provider(self) -> None:
        with Relay().connecting() as play:
            play.feed(ConnectFailed(PROVIDER, ConnectFailure.NAME, "provider: no such host"))
            assert play.take(Log).details["reason"] == "the host name does not resolve"
            play.expect(refused(502), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=502, closed_by="gateway"))

    def test_a_slow_connection(self) -> None:
        with Relay().connecting() as play:
            play.wait(9.1).expect(cut(PROVIDER), refused(504), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=504))

    def test_a_client_that_leaves(self) -> None:
        with Relay().connecting() as play:
            play.ends(CLIENT).expect(cut(PROVIDER), flushed(CLIENT), session(status=499, closed_by="client"))

    def test_a_side_that_does_not_read(self) -> None:
        with Relay(realtime_high_water_bytes=1000, realtime_low_water_bytes=5).opened() as play:
            says(play, PROVIDER, (TEXT, b"x" * 600), (TEXT, b"x" * 600))
            play.sent(CLIENT)
            play.feed(BytesSent(CLIENT, 1200)).expect()
            says(play, PROVIDER, (TEXT, b"waits"))
            play.expect(SetReading(PROVIDER, False))
            play.wait(60.1)
            assert play.take(Log).details["side"] == "client"
            play.expect(told(PROVIDER, "close 1011 the client does not read"), any_order=True)
            play.expect(cut(CLIENT), SetReading(PROVIDER, True), any_order=True)
            play.provider_says(0x88, close(1011)).ends(PROVIDER)
            play.expect(flushed(PROVIDER), session(closed_by="client"))


def test_a_session_that_has_ended_is_no_connection_any_more() -> None:
    probe = LinkId(2)
    with Relay().opened() as play:
        play.client_says(0x88, close(1000)).expect(told(PROVIDER, "close 1000"))
        play.provider_says(0x88, close(1000)).expect(told(CLIENT, "close 1000"), flushed(CLIENT))
        play.ends(PROVIDER).expect(flushed(PROVIDER), session())
        play.feed(LinkAccepted(probe, "192.0.2.1:4002"))
        play.feed(BytesReceived(probe, b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"))
        assert play.sent(probe).endswith(b'{"status":"ok","connections":1}')


class TestKeepAlive:
    @SIDES
    def test_a_dead_side(self, side: Any) -> None:
        with Relay().opened() as play:
            play.wait(29.0).expect()
            says(play, OTHER[side], (PONG, b""))  # any octet is life
            play.expect()
            play.wait(1.5).expect(told(side, "ping"))
            play.wait(28.5)
            play.expect(told(OTHER[side], "ping"))
            play.wait(1.4)
            assert play.take(Log).details["reason"] == "no sign of life after a ping"
            reason = f"the {NAME[side]}'s connection failed: no sign of life after a ping"
            play.expect(told(OTHER[side], f"close 1011 {reason}"), cut(side))
            says(play, OTHER[side], (0x88, close(1011)))
            if OTHER[side] == CLIENT:
                play.expect(flushed(CLIENT))
            else:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(closed_by=NAME[side], **{f"{NAME[side]}_close": 1006}))

    def test_can_be_switched_off(self) -> None:
        with Relay(realtime_config(websocket=WebSocketLimits(ping_interval_seconds=None))).opened() as play:
            play.wait(1000.0).expect()


FAREWELL = '{"type":"error"'


class TestTheGatewaysEndings:
    def ended(self, play: Relay, code: int, reason: str, **fields: object) -> None:
        """Expect the dialect's error and a Close to the client, the same Close to the provider, and the end of both."""
        data = play.sent(CLIENT)
        assert FAREWELL.encode() in data
        assert reason.encode() in data
        assert data.endswith(close(code, reason))
        play.expect(told(PROVIDER, f"close {code} {reason}"))
        play.client_says(0x88, close(code)).expect(flushed(CLIENT))
        play.provider_says(0x88, close(code)).ends(PROVIDER)
        play.expect(flushed(PROVIDER), session(closed_by="gateway", error=reason, **fields))
        play.checked.finish()

    def test_idle(self) -> None:
        with Relay(realtime_idle_timeout_seconds=20.0).opened() as play:
            play.wait(15.0).expect()
            play.client_says(TEXT, b"x").expect(told(PROVIDER, "text x"))
            play.wait(14.0).expect()
            play.client_says(PING, b"").expect(told(CLIENT, "pong"))  # no message
            play.provider_says(PONG)
            play.wait(6.1)
            self.ended(play, 1001, "no message for 20 s")

    def test_too_long(self) -> None:
        with Relay(realtime_session_timeout_seconds=25.0, realtime_idle_timeout_seconds=None).opened() as play:
            play.wait(24.0).expect()
            play.client_says(TEXT, b"x").expect(told(PROVIDER, "text x"))
            play.wait(1.1)
            self.ended(play, 1001, "a session may last 25 s")

    def test_without_limits(self) -> None:
        config = realtime_config(
            limits={"realtime_session_timeout_seconds": None, "realtime_idle_timeout_seconds": None}
        )
        with Relay(config).opened() as play:
            for _ in range(100):
                play.wait(29.0).expect()
                play.client_says(PONG).provider_says(PONG).expect()

    @SIDES
    def test_a_message_that_is_too_large(self, side: Any) -> None:
        with Relay(realtime_max_message_bytes=5).opened() as play:
            says(play, side, (TEXT, b"12345"), (0x01, b"1234"))
            play.expect(told(OTHER[side], "text 12345", "text… 1234"))
            says(play, side, (0x00, b"56"), (0x80, b"789"))
            reason = f"a message of the {NAME[side]} is larger than 5 bytes"
            if side == PROVIDER:  # within a message there is no room for another
                play.expect(told(CLIENT, f"close 1009 {reason}"), told(PROVIDER, f"close 1009 {reason}"))
                play.client_says(0x88, close(1009)).expect(flushed(CLIENT))
                play.ends(PROVIDER).expect(flushed(PROVIDER), session(closed_by="gateway", error=reason))
            else:
                self.ended(play, 1009, reason)

    def test_the_grace_of_a_shutdown(self) -> None:
        with Relay().opened() as play:
            play.feed(ShutdownRequested(5.0)).expect()
            play.client_says(TEXT, b"x").expect(told(PROVIDER, "text x"))
            play.wait(5.1)
            data = play.sent(CLIENT)
            assert FAREWELL.encode() in data
            assert data.endswith(close(1001, "the gateway is shutting down"))
            play.expect(told(PROVIDER, "close 1001 the gateway is shutting down"))
            play.client_says(0x88, close(1001)).expect(flushed(CLIENT))
            play.provider_says(0x88, close(1001)).ends(PROVIDER)
            play.expect(flushed(PROVIDER), session(closed_by="gateway"), Drained())

    def test_a_session_that_ends_within_the_grace(self) -> None:
        with Relay().opened() as play:
            play.feed(ShutdownRequested(5.0)).expect()
            play.client_says(0x88, close(1000)).expect(told(PROVIDER, "close 1000"))
            play.provider_says(0x88, close(1000)).expect(told(CLIENT, "close 1000"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(closed_by="client"), Drained())

    def test_a_shutdown_while_the_provider_is_reached(self) -> None:
        with Relay().connecting() as play:
            play.feed(ShutdownRequested(5.0))
            play.expect(cut(PROVIDER), refused(503, "shutting down"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=503, closed_by="gateway"), Drained())

    def test_no_new_session_while_draining(self) -> None:
        with Relay() as play:
            play.arrived()
            play.feed(ShutdownRequested(5.0)).expect(flushed(CLIENT), Drained())

    def test_an_ending_while_a_side_closes_changes_nothing(self) -> None:
        with Relay().opened() as play:
            play.client_says(0x88, close(4007)).expect(told(PROVIDER, "close 4007"))
            play.feed(ShutdownRequested(0.0)).expect()
            play.provider_says(0x88, close(4007)).expect(told(CLIENT, "close 4007"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(closed_by="client"), Drained())


def test_limits_beyond_all_counting_are_none() -> None:
    endless = 1 << 80
    names = ("realtime_high_water_bytes", "realtime_low_water_bytes", "realtime_max_message_bytes", "turn_bytes")
    limits: dict[str, Any] = dict.fromkeys((*names, "client_high_water_bytes"), endless)
    with Relay(**limits).opened() as play:
        play.client_says(TEXT, b"x" * 100_000)
        assert len(play.sent(PROVIDER)) > 100_000
        play.client_says(TEXT, b"y").expect(told(PROVIDER, "text y"))


TURN_ENDS = b'{"type":"response.done","response":{"id":"r","usage":{"total_tokens":7}}}'


def fail(*_: object, **__: object) -> None:
    """Stand in for a bug."""
    raise ZeroDivisionError


class TestBugs:
    """Broken are what the compiled classes call, since they themselves cannot be."""

    def test_while_messages_go_both_ways(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Relay().opened() as play:
            monkeypatch.setattr(_ledger, "TurnRecord", fail)
            play.provider_says(TEXT, TURN_ENDS)
            assert isinstance(play.take(Log).exception, ZeroDivisionError)
            play.expect(told(CLIENT, "close 1011 internal error"), finished(CLIENT))
            play.expect(told(PROVIDER, "close 1011 internal error"), finished(PROVIDER))
            play.ends(CLIENT).expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(closed_by="gateway", error="internal error"))

    def test_while_the_provider_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Relay().asked() as play:
            monkeypatch.setattr(RealtimeOpening, "answer", fail)
            play.from_provider(play.accepting())
            assert isinstance(play.take(Log).exception, ZeroDivisionError)
            play.expect(cut(PROVIDER), refused(500, "internal error"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=500))

    def test_a_second_one_while_ending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class BrokenOnce(dict[RealtimeState, dict[RealtimeTrigger, RealtimeState]]):
            broken = True

            def __getitem__(self, state: RealtimeState) -> dict[RealtimeTrigger, RealtimeState]:
                if self.broken:
                    self.broken = False
                    raise ZeroDivisionError
                return super().__getitem__(state)

        with Relay().opened() as play:
            monkeypatch.setattr(_ledger, "TurnRecord", fail)
            monkeypatch.setattr(_realtime, "REALTIME_TRANSITIONS", BrokenOnce(REALTIME_TRANSITIONS))
            play.provider_says(TEXT, TURN_ENDS)
            assert play.take(Log).message == "internal error"
            assert play.take(Log).message == "internal error while ending an owner"
            play.expect(cut(CLIENT), cut(PROVIDER), session(closed_by="gateway", error="internal error"))

    def test_when_one_side_is_gone_already(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Relay().opened() as play:
            play.ends(CLIENT).expect(told(PROVIDER, "close 1011 the client's connection was lost"), flushed(CLIENT))
            monkeypatch.setattr(_ledger, "TurnRecord", fail)
            play.provider_says(TEXT, TURN_ENDS)
            play.take(Log)
            play.expect(finished(PROVIDER))
            play.wait(2.1).expect(flushed(PROVIDER), session(closed_by="client"))


def test_every_transition_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[tuple[RealtimeState, RealtimeTrigger]] = set()

    class Noted(dict[RealtimeTrigger, RealtimeState]):
        def __init__(self, state: RealtimeState) -> None:
            super().__init__(REALTIME_TRANSITIONS[state])
            self.state = state

        def __getitem__(self, trigger: RealtimeTrigger) -> RealtimeState:
            walked.add((self.state, trigger))
            return super().__getitem__(trigger)

    table = {state: Noted(state) for state in REALTIME_TRANSITIONS}
    monkeypatch.setattr(_realtime, "REALTIME_TRANSITIONS", table)
    TestClosing().test_both_at_once()
    TestTheGatewaysEndings().test_a_shutdown_while_the_provider_is_reached()
    assert walked == {(state, trigger) for state, row in REALTIME_TRANSITIONS.items() for trigger in row}


def test_sessions_do_not_disturb_each_other() -> None:
    """A broken session beside a good one."""
    with Relay().opened() as play:
        second, its_provider = LinkId(2), LinkId(3)
        play.feed(LinkAccepted(second, "192.0.2.2:1")).expect()
        play.feed(BytesReceived(second, upgrade("/v1/acc/default/deepgram/v1/listen")))
        play.expect(Connect(its_provider, "provider", 80))
        play.feed(LinkConnected(its_provider))
        play.sent(its_provider)
        play.from_client(b"\xff\xff")
        assert play.take(Log).details["side"] == "client"
        assert CloseCode.PROTOCOL_ERROR.to_bytes(2, "big") in play.sent(CLIENT)
        play.sent(PROVIDER)
        play.expect(finished(CLIENT))
        play.feed(BytesSent(its_provider, 0)).expect()
