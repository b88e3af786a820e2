"""Clients and providers of realtime sessions that follow a script, on the memory world's network.

An `End` writes its frames by hand and notes what it sent, what it saw, and when. It knows nothing of the gateway
between it and the other end, so what two of them have noted is what can be said about that gateway from outside.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from aigw_transports.memory import Peer, World
from support.realtime_frames import CLOSE, FIN, PING, PONG, RSV1, Frame, Message, close_payload, frame
from support.realtime_manner import Answer, Close, Got, Leaving, Manner, Rules, Sent, Squeezer, Upstream
from support.realtime_side import Head, request, response

__all__ = ["End", "Provider", "Step", "speech"]

_SQUEEZE = "permessage-deflate"
_FRESH = "; client_no_context_takeover; server_no_context_takeover"


class End:
    """One end of a session. The names of what it noted: `said_` is its own doing, `got_` is what it saw."""

    def __init__(self, world: World, name: str, manner: Manner, *, is_client: bool) -> None:
        """Be there; a stream comes with `take()` or `knock()`."""
        self.world = world
        self.name = name
        self.manner = manner
        self.is_client = is_client
        self.peer: Peer | None = None
        self.head: Head | None = None
        self.body = bytearray()
        self.opened_at: float | None = None
        self.said: list[Sent] = []
        self.saying: Sent | None = None
        self.said_close: Close | None = None
        self.said_close_at: float | None = None
        self.said_last_at = 0.0
        """When it sent anything but what was its last."""
        self.said_bytes = 0
        self.pings: list[tuple[bytes, float]] = []
        self.got: list[Got] = []
        self.getting: Got | None = None
        self.got_close: Close | None = None
        self.got_close_at: float | None = None
        self.pongs: list[tuple[bytes, float]] = []
        self.left: Leaving | None = None
        self.left_at: float | None = None
        self.broke_rule: int | None = None
        """The code that it may be told for it."""
        self.broke_rule_at: float | None = None
        self.stopped_at: float | None = None
        self.resumed_at = 0.0
        self.ended_at: float | None = None
        self.hung_up = False
        self._rules = Rules(masked=not is_client)
        self._squeezer: Squeezer | None = None
        self._steps: deque[tuple[float, Step]] = deque()
        self._waits = False

    # ---- the stream ------------------------------------------------------------------------------------------------

    def take(self, peer: Peer) -> None:
        """Play a stream from now on."""
        assert self.peer is None, "a second connection"
        self.peer = peer
        peer.on_data = lambda _: self._read()
        peer.on_end = self._on_end

    def knock(self, peer: Peer, target: str, *, early: Sequence[Step] = ()) -> None:
        """Ask for an upgrade; the steps of `early` are taken in the same packet."""
        self.take(peer)
        offers = self.manner.squeezes
        lines = [f"Sec-WebSocket-Extensions: {_SQUEEZE}{_FRESH if offers == 'fresh' else ''}"] if offers else []
        peer.send(request(target, *lines))
        for step in early:
            step(self)

    def admit(self) -> None:
        """Answer a request for an upgrade with 101."""
        assert self.head is not None
        key = self.head.get("sec-websocket-key")
        assert key is not None
        lines: list[str] = []
        if self.manner.squeezes and any(_SQUEEZE in each for each in self.head.all("sec-websocket-extensions")):
            fresh = self.manner.squeezes == "fresh"
            lines.append(f"Sec-WebSocket-Extensions: {_SQUEEZE}{_FRESH if fresh else ''}")
            self._agree(fresh=fresh)
        self.write(response(key, *lines))
        self.opened_at = self.now

    def _agree(self, *, fresh: bool) -> None:
        self._squeezer = Squeezer(fresh=fresh)
        self._rules = Rules(masked=not self.is_client, may_compress=True)

    @property
    def now(self) -> float:
        """The time."""
        return self.world.time

    @property
    def squeezes(self) -> bool:
        """Compression was agreed on."""
        return self._squeezer is not None

    @property
    def payload_bytes(self) -> int:
        """What its messages hold, before compression."""
        said = self.said if self.saying is None else [*self.said, self.saying]
        return sum(len(each.message.payload) for each in said)

    @property
    def over_at(self) -> float | None:
        """When it had said its last: with a Close, by leaving or with what no end may send."""
        times = (self.said_close_at, self.left_at, self.broke_rule_at)
        return min((each for each in times if each is not None), default=None)

    @property
    def _can_say(self) -> bool:
        return self.peer is not None and self.over_at is None and self.ended_at is None and not self.hung_up

    @property
    def _is_there(self) -> bool:
        return self.peer is not None and self.left_at is None and not self.hung_up

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.peer is not None and self._is_there:
            if self.over_at is None:
                self.said_last_at = self.now
            self.said_bytes += len(data)
            self.peer.send(data)

    def _on_end(self) -> None:
        if self.ended_at is None:
            self.ended_at = self.now
        if self.left is Leaving.FIN and self.peer is not None:
            self.peer.close()
        elif self.manner.hangs_up:
            self._hang_up()

    def _hang_up(self) -> None:
        if self.peer is not None and self._is_there:
            self.hung_up = True
            self.peer.close()

    # ---- the script ------------------------------------------------------------------------------------------------

    def play(self, steps: Sequence[tuple[float, Step]]) -> None:
        """Add to the script: each step with the seconds to wait before it. It begins when the session is open."""
        self._steps.extend(steps)
        self._advance()

    def _advance(self) -> None:
        while self._steps and not self._waits and self._can_say and self.opened_at is not None:
            seconds, step = self._steps.popleft()
            if seconds:
                self._waits = True
                self.later(seconds, functools.partial(self._resume, step))
                return
            step(self)

    def _resume(self, step: Step) -> None:
        self._waits = False
        if self._can_say:
            step(self)
            self._advance()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when that time has passed."""
        self.world._schedule.after(seconds, action)

    # ---- what it says ----------------------------------------------------------------------------------------------

    def frame(self, head: int, payload: bytes = b"") -> None:
        """Send a frame."""
        self.write(frame(head, payload, masked=self.is_client))

    def squeeze(self, payload: bytes) -> bytes:
        """Compress a message, when that was agreed on."""
        assert self._squeezer is not None
        return self._squeezer.squeeze(payload)

    def ping(self, payload: bytes) -> None:
        """Ask for a sign of life."""
        self.pings.append((payload, self.now))
        self.frame(FIN | PING, payload)

    def close(self, close: Close) -> None:
        """Send a Close."""
        if self._can_say:
            self.said_close, self.said_close_at = close, self.now
            self.frame(FIN | CLOSE, close_payload(*close))
            self._part()

    def break_rule(self, data: bytes, code: int) -> None:
        """Send what no end may send."""
        self.write(data)
        self.broke_rule, self.broke_rule_at = code, self.now

    def leave(self, how: Leaving) -> None:
        """Leave without a word."""
        if self.peer is not None and self._is_there:
            self.left, self.left_at = how, self.now
            leave = {Leaving.FIN: self.peer.end_sending, Leaving.CLOSE: self.peer.close, Leaving.RESET: self.peer.reset}
            leave[how]()

    def read(self, enabled: bool, *, rate: float | None = None, forever: bool = False) -> None:
        """Stop reading, or read on."""
        if self.peer is not None and self._is_there:
            self.peer.set_reading(enabled, bytes_per_second=rate)
            self.resumed_at = self.now
            self.stopped_at = self.now if forever else self.stopped_at

    def _part(self) -> None:
        """End the stream when Close went both ways: the server does, and the client waits for that."""
        both = self.said_close is not None and self.got_close is not None
        if both and self.manner.hangs_up and not self.is_client and self.peer is not None and self._is_there:
            self.peer.end_sending()

    # ---- what it sees ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self.peer is not None
        data = self.peer.take()
        if self.head is None:
            self.body += data
            end = self.body.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = Head(bytes(self.body[:end]))
            data = bytes(self.body[end + 4 :])
            self.body.clear()
            self.on_head()
        if self.opened_at is None:
            self.body += data
            return
        self._rules.feed(data)
        while (got := self._rules.next()) is not None:
            self._see(got)

    def on_head(self) -> None:
        """Look at the answer to the upgrade."""
        assert self.head is not None
        if self.head.status == 101:
            chosen = ", ".join(self.head.all("sec-websocket-extensions"))
            if chosen:
                assert self.manner.squeezes, "compression was not asked for"
                self._agree(fresh=self.manner.squeezes == "fresh")
                assert (self.manner.squeezes == "fresh") == ("server_no_context_takeover" in chosen), chosen
            self.opened_at = self.now
            self._advance()

    def _see(self, got: Frame) -> None:
        if got.opcode == PING:
            if self.manner.answers_pings and self.said_close is None and self.broke_rule_at is None:
                self.frame(FIN | PONG, got.payload)
        elif got.opcode == PONG:
            self.pongs.append((got.payload, self.now))
        elif got.opcode == CLOSE:
            self._see_close(got.payload)
        else:
            self._see_data(got)

    def _see_data(self, got: Frame) -> None:
        message = self.getting
        if message is None:
            message = self.getting = Got(got.opcode, got.is_compressed)
        payload = got.payload
        if message.squeezed:
            assert self._squeezer is not None
            payload = self._squeezer.unfold(payload, last=got.is_final)
        message.payload += payload
        message.frames += 1
        if got.is_final:
            message.at = self.now
            self.got.append(message)
            self.getting = None

    def _see_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else None
        self.got_close, self.got_close_at = (code, payload[2:]), self.now
        if self.said_close is not None:
            self._part()
            return
        manner = self.manner
        answer = manner.answer_close or self.got_close
        if manner.answer is Answer.LATER:
            self.later(manner.answer_seconds, lambda: self.close(answer))
        elif manner.answer is Answer.CUT:
            self.leave(Leaving.RESET)
        elif manner.answer is not Answer.NEVER:
            self.close(answer)
            if manner.answer is Answer.LEAVE:
                self._hang_up()


Step: TypeAlias = Callable[[End], None]


def speech(message: Message, cuts: Sequence[int], gap_seconds: float, *, squeeze: bool) -> list[tuple[float, Step]]:
    """Return the steps that send one message, cut into fragments where the payload (or what is sent of it) has them."""
    parts: list[bytes] = []

    def begin(end: End) -> None:
        squeezed = squeeze and end.squeezes
        payload = end.squeeze(message.payload) if squeezed else message.payload
        places = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
        parts.extend(payload[start:stop] for start, stop in itertools.pairwise(places))
        end.saying = Sent(message, len(parts), squeezed)
        send(end, message.opcode | (RSV1 if squeezed else 0))

    def send(end: End, head: int = 0) -> None:
        assert end.saying is not None
        part = parts.pop(0)
        end.saying.sent_bytes += len(part)
        end.frame(head if parts else head | FIN, part)
        if not parts:
            end.saying.at = end.now
            end.said.append(end.saying)
            end.saying = None

    return [(0.0, begin), *((gap_seconds, send) for _ in cuts)]


class Provider(End):
    """A provider's end: answers the request for an upgrade first."""

    STATUS, BODY = 429, b'{"error":"not now"}'

    def __init__(self, world: World, name: str, manner: Manner, upstream: Upstream, delay_seconds: float) -> None:
        """Answer requests as `upstream` says, `delay_seconds` after they came."""
        super().__init__(world, name, manner, is_client=False)
        self.upstream = upstream
        self._delay_seconds = delay_seconds

    def on_head(self) -> None:
        """Answer, some time after the request."""
        if self._delay_seconds:
            self.later(self._delay_seconds, self._respond)
        else:
            self._respond()

    def _respond(self) -> None:
        match self.upstream:
            case Upstream.ACCEPTS:
                self.admit()
                self._advance()
            case Upstream.REFUSES:
                self.write(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (self.STATUS, len(self.BODY), self.BODY))
            case Upstream.IS_NONE:
                self.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            case Upstream.BABBLES:
                self.write(b"SSH-2.0-OpenSSH_9\r\n\r\n")
            case Upstream.CUTS:
                self.leave(Leaving.CLOSE)
            case _:
                pass
