"""Clients and providers of realtime sessions, played by hand, and what must hold between them.

Each end notes what it has sent. What the other end gets is compared with that as it comes, message by message: it is
the next one, whole and unchanged, or the run fails. Neither knows anything of the gateway between them.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING

from ._plan import is_smooth
from ._wire import (
    BINARY,
    CLOSE,
    FIN,
    PING,
    PONG,
    TEXT,
    FrameReader,
    accept_value,
    close_payload,
    frame,
    header_of,
    upgrade_request,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._network import Faults
    from ..memory import Peer, World

__all__ = ["Close", "End", "Leaving", "Message", "Pace", "RealtimeProvider", "RealtimeSession"]

Close = tuple[int | None, bytes]
_GATEWAY_CODES = frozenset({1001, 1009, 1011})


class Leaving(enum.Enum):
    """How an end goes without a Close."""

    FIN = "it ends its direction"
    RESET = "it breaks the stream"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What one end says: text or binary, in one frame or in fragments of that size."""

    payload: bytes
    is_text: bool = True
    fragment_bytes: int | None = None

    def frames(self, *, masked: bool) -> bytes:
        """Return it on the wire."""
        opcode, size = TEXT if self.is_text else BINARY, self.fragment_bytes
        if size is None or size >= len(self.payload):
            return frame(FIN | opcode, self.payload, masked=masked)
        parts: list[bytes] = []
        for at in range(0, len(self.payload), size):
            last = at + size >= len(self.payload)
            head = (FIN if last else 0) | (opcode if at == 0 else 0)
            parts.append(frame(head, self.payload[at : at + size], masked=masked))
        return b"".join(parts)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """When an end says its messages, and how it ends."""

    messages: Sequence[Message]
    gap_seconds: float = 0.0
    """Between messages; with 0 they are sent at once, the first of them behind the handshake."""
    close: Close | None = None
    """What it closes with when it has said all; None leaves that to the other end."""
    leaves: Leaving | None = None
    """It goes without a word when it has said all."""
    pings: bool = False
    answers_close: bool = True
    talks_on: bool = False
    """It says all that it has to say before it answers a Close."""


class End:
    """One end of a session."""

    def __init__(self, world: World, name: str, pace: Pace, faults: Faults, *, is_client: bool) -> None:
        """Be there; `take()` gives it a stream."""
        self.world = world
        self.name = name
        self.pace = pace
        self.faults = faults
        self.is_client = is_client
        self.peer: Peer | None = None
        self.other: End = self
        self.said: list[Message] = []
        self.said_close: Close | None = None
        self.said_close_at: float | None = None
        self.left_at: float | None = None
        self.got = 0
        """How many messages came."""
        self.got_close: Close | None = None
        self.got_close_at: float | None = None
        self.has_answered = False
        """Its Close was the answer to one that came."""
        self.ended_at: float | None = None
        self.broken = False
        self.opened_at: float | None = None
        self.pings = 0
        self.pongs = 0
        self.hindered = False
        """It has not read all the time."""
        self.disturbed = False
        """Something befell its link that is not among the faults of that."""
        self._parts: list[bytes] = []
        self._opcode = 0
        self._is_speaking = bool(pace.gap_seconds)
        self._reader = FrameReader(masked=not is_client)

    @property
    def is_smooth(self) -> bool:
        """Its link did what a link should."""
        return is_smooth(self.faults) and not self.disturbed

    @property
    def is_good(self) -> bool:
        """It has done all that an end has to do, on a link that does what it should."""
        return self.left_at is None and self.pace.answers_close and not self.hindered and self.is_smooth

    @property
    def is_over(self) -> bool:
        """Nothing more can come to it."""
        return self.ended_at is not None or (self.left_at is not None and self.pace.leaves is Leaving.RESET)

    @property
    def can_speak(self) -> bool:
        """Whether it may say something."""
        return (
            self.opened_at is not None
            and self.said_close is None
            and self.left_at is None
            and self.ended_at is None
            and (self.got_close is None or self.pace.talks_on)
        )

    # ---- what it does ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to speak: the session is open."""
        self.opened_at = self.world.time
        pace = self.pace
        if pace.gap_seconds:
            self._speak_on(0)
        else:
            for message in pace.messages:
                self._say(message)
            self._finish()

    def _speak_on(self, number: int) -> None:
        if not self.can_speak:
            return
        if number == len(self.pace.messages):
            self._finish()
            return
        self._say(self.pace.messages[number])
        self.world.after(self.pace.gap_seconds, lambda: self._speak_on(number + 1))

    def _say(self, message: Message) -> None:
        if not self.can_speak or self.peer is None:
            return
        self.said.append(message)
        data = message.frames(masked=self.is_client)
        if self.pace.pings:
            self.pings += 1
            data += frame(FIN | PING, b"%d" % self.pings, masked=self.is_client)
        self.peer.send(data)

    def _finish(self) -> None:
        self._is_speaking = False
        if not self.can_speak or self.peer is None:
            return
        if self.pace.leaves is not None:
            self.left_at = self.world.time
            if self.pace.leaves is Leaving.FIN:
                self.peer.end_sending()
            else:
                self.peer.reset()
        elif self.got_close is not None:
            self._answer_close(self.got_close)
        elif self.pace.close is not None:
            self.close(self.pace.close)

    def close(self, close: Close) -> None:
        """Send a Close."""
        if self.said_close is None and self.left_at is None and self.peer is not None:
            self.said_close, self.said_close_at = close, self.world.time
            self.peer.send(frame(FIN | CLOSE, close_payload(*close), masked=self.is_client))
            self._part()

    def _part(self) -> None:
        """End the stream when Close went both ways: the server does (RFC 6455 section 7.1.1)."""
        both = self.said_close is not None and self.got_close is not None
        if both and not self.is_client and self.peer is not None:
            self.peer.end_sending()

    def read(self, enabled: bool, *, bytes_per_second: float | None = None) -> None:
        """Read nothing for a while, or read on, at a rate."""
        self.hindered = True
        if self.peer is not None and self.left_at is None:
            self.peer.set_reading(enabled, bytes_per_second=bytes_per_second)

    # ---- what it sees ----------------------------------------------------------------------------------------------

    def ended(self) -> None:
        """Note the end of the stream."""
        if self.ended_at is None and self.peer is not None:
            self.ended_at, self.broken = self.world.time, self.peer.broken
            if self.left_at is None or self.pace.leaves is Leaving.FIN:
                self.peer.close()

    def read_frames(self, data: bytes) -> None:
        """Look at what came."""
        for got in self._reader.feed(data):
            opcode = got.opcode
            assert self.got_close is None or opcode == PONG, f"{self.name}: a frame behind a Close"
            if opcode < CLOSE:
                self._take(opcode, got.payload, final=got.is_final)
            elif opcode == CLOSE:
                self._take_close(got.payload)
            elif opcode == PING:
                if self.said_close is None and self.left_at is None and self.peer is not None:
                    self.peer.send(frame(FIN | PONG, got.payload, masked=self.is_client))
            else:
                number = int(got.payload)
                assert self.pongs < number <= self.pings, f"{self.name}: a pong {number} that it did not ask for"
                self.pongs = number

    def _take(self, opcode: int, payload: bytes, *, final: bool) -> None:
        assert bool(opcode) is not bool(self._opcode), f"{self.name}: a message within a message, or none to go on with"
        if opcode and final:
            self._compare(opcode, payload)
            return
        self._opcode = self._opcode or opcode
        self._parts.append(payload)
        if final:
            opcode, self._opcode = self._opcode, 0
            self._compare(opcode, b"".join(self._parts))
            self._parts.clear()

    def _compare(self, opcode: int, payload: bytes) -> None:
        said = self.other.said
        assert self.got < len(said), f"{self.name}: a message that {self.other.name} has not sent"
        sent = said[self.got]
        same = sent.payload == payload and sent.is_text is (opcode == TEXT)
        assert same, f"{self.name}: message {self.got} is {payload[:60]!r}, and was {sent.payload[:60]!r}"
        self.got += 1

    def _take_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else None
        self.got_close, self.got_close_at = (code, payload[2:]), self.world.time
        if self.said_close is not None:
            self._part()
        elif not self._is_speaking or not self.pace.talks_on:
            self._answer_close(self.got_close)

    def _answer_close(self, close: Close) -> None:
        if self.pace.answers_close:
            self.has_answered = True
            self.close(close)

    # ---- judgement -------------------------------------------------------------------------------------------------

    def judge(self, *, slack_seconds: float, half_seconds: float) -> None:
        """Judge what came from the other end, when nothing more can come.

        `half_seconds` is how long the gateway waits for the answer to a Close.
        """
        other = self.other
        if self._parts:
            begun = b"".join(self._parts)
            sent = other.said[self.got].payload if self.got < len(other.said) else None
            assert sent is not None, f"{self.name}: a part of a message that was not sent"
            assert sent.startswith(begun), f"{self.name}: a part of a message that was changed"
        if self.got_close is not None:
            self._judge_close(self.got_close)
        if not self.is_good:
            return
        smooth = other.is_smooth
        assert self.got_close is not None, f"{self.name}: was never sent a Close"
        assert not self.broken, f"{self.name}: its stream was broken"
        assert self.ended_at is not None, f"{self.name}: its stream did not end"
        if other.is_good or (other.pace.leaves is Leaving.FIN and smooth and not other.hindered):
            relayed = self.got_close == other.said_close and other.got_close != other.said_close
            said_at, got_at = self.said_close_at or math.inf, self.got_close_at or 0.0
            # Nobody waits for ever: what comes slowly may still be on its way when the gateway answers.
            in_time = other.over_at is not None and other.over_at <= said_at and got_at - said_at < half_seconds
            if relayed or (in_time and self.got_close[0] not in _GATEWAY_CODES):
                assert self.got == len(other.said), (
                    f"{self.name}: {self.got} of {len(other.said)} messages of {other.name} came"
                )
        closes_first = self.said_close_at is not None and self.said_close_at < (self.got_close_at or 0.0)
        if closes_first and self.got_close[0] not in _GATEWAY_CODES:
            assert self.pongs == self.pings, f"{self.name}: {self.pongs} of {self.pings} pings were answered"
        if other.left_at is not None and smooth and (self.said_close_at or other.left_at) >= other.left_at:
            late = self.got_close_at is None or self.got_close_at - other.left_at > slack_seconds
            assert not late, f"{self.name}: does not hear that {other.name} is gone"
        if smooth and self.said_close_at is not None and self.got_close_at is not None and not other.hindered:
            took = self.got_close_at - self.said_close_at
            assert took <= half_seconds + slack_seconds, f"{self.name}: its Close was answered after {took:.3f} s"

    @property
    def over_at(self) -> float | None:
        """When it had said its last."""
        return self.said_close_at if self.left_at is None else self.left_at

    def _judge_close(self, got: Close) -> None:
        other = self.other
        if got == other.said_close:
            return
        if self.said_close is not None and got == (self.said_close[0], b""):
            return  # its own comes back, for the other end has not answered
        assert got[0] in _GATEWAY_CODES and got[1], f"{self.name}: nobody sent it the Close {got}"
        if got[0] == 1011 and other.is_good and self.is_good and other.said_close is None:
            raise AssertionError(f"{self.name}: {other.name} is well, but the gateway says {got[1]!r}")


class RealtimeSession:
    """A client, and the end at its provider once that has been connected to."""

    def __init__(
        self, world: World, provider: RealtimeProvider, tag: str, client: Pace, far: Pace, *, faults: Faults
    ) -> None:
        """Let a client with such `faults` of its link speak with an end at `provider`. It does not connect yet."""
        self.world = world
        self.tag = tag
        self.client = End(world, f"client {tag}", client, faults, is_client=True)
        self.far = End(world, f"provider {tag}", far, provider.faults, is_client=False)
        self.client.other, self.far.other = self.far, self.client
        self.status: int | None = None
        self._head = b""
        provider.expect(self)

    def connect(self, gateway: str, port: int = 80, *, early: bool = False) -> None:
        """Ask the gateway for the session; with `early`, speak before it has answered."""
        peer = self.world.peer(gateway, port, faults=self.client.faults)
        self.client.peer = peer
        peer.on_data = self._on_data
        peer.on_end = self.client.ended
        peer.send(upgrade_request(f"/v1/account/default/custom-live/{self.tag}"))
        if early:
            self.client.open()

    def _on_data(self, _: bytes) -> None:
        client, peer = self.client, self.client.peer
        assert peer is not None
        data = peer.take()
        if self.status is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self.status = int(head[9:12])
            if self.status == 101 and client.opened_at is None:
                client.open()
        if self.status == 101:
            client.read_frames(data)

    @property
    def goes_on(self) -> bool:
        """Neither end means to end it."""
        return all(end.pace.close is None and end.pace.leaves is None for end in (self.client, self.far))

    @property
    def has_ended(self) -> bool:
        """Nothing more can come to any end that is there."""
        ends = [end for end in (self.client, self.far) if end.peer is not None]
        failed = self.client.peer is not None and self.client.peer.failure is not None
        return bool(ends) and (failed or all(end.is_over for end in ends))

    def judge(self, *, slack_seconds: float, half_seconds: float) -> None:
        """Judge both ends, when nothing more can come."""
        client, far = self.client, self.far
        if self.status is None:
            failed = client.peer is not None and client.peer.failure is not None
            gone = failed or client.left_at is not None or client.ended_at is not None or not client.is_smooth
            assert gone, f"{client.name}: was never answered"
            return
        if self.status != 101:
            assert not far.got, f"{client.name}: its provider was told something although it was not let in"
            known = (502, 503, 504) if client.is_smooth else (400, 408, 502, 503, 504)
            assert self.status in known, f"{client.name}: was refused with {self.status}"
            reason = self.status == 503 or not far.is_smooth or not client.is_smooth or far.left_at is not None
            assert reason, f"{client.name}: was refused for no reason"
            return
        assert far.opened_at is not None, f"{client.name}: was let in without its provider"
        for end in (client, far):
            end.judge(slack_seconds=slack_seconds, half_seconds=half_seconds)


class RealtimeProvider:
    """Where the far ends of sessions are: each connection names its session in its path."""

    def __init__(self, world: World, name: str, port: int = 80, *, faults: Faults | None = None) -> None:
        """Listen at `name:port`; `faults` are those of its links."""
        self.faults = faults or world.faults
        self._sessions: dict[str, RealtimeSession] = {}
        world.listen(name, port, on_peer=self._accept, faults=faults)

    def expect(self, session: RealtimeSession) -> None:
        """Let a session come."""
        self._sessions[session.tag] = session

    def _accept(self, peer: Peer) -> None:
        taken: list[End] = []
        data = b""

        def on_data(_: bytes) -> None:
            nonlocal data
            if taken:
                taken[0].read_frames(peer.take())
                return
            data += peer.take()
            head, found, rest = data.partition(b"\r\n\r\n")
            if found:
                taken.append(self._admit(peer, head))
                taken[0].read_frames(rest)

        def on_end() -> None:
            if taken:
                taken[0].ended()
            else:
                peer.close()

        peer.on_data, peer.on_end = on_data, on_end

    def _admit(self, peer: Peer, head: bytes) -> End:
        tag = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        end = self._sessions[tag].far
        assert end.peer is None, f"{end.name}: a second connection for one session"
        end.peer = peer
        key = header_of(head, b"sec-websocket-key")
        assert key is not None, f"a request without a key: {head!r}"
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.send(answer + b"Sec-WebSocket-Accept: " + accept_value(key) + b"\r\n\r\n")
        end.open()
        return end
