"""The two ends of a realtime session, played by hand: a client's and a provider's."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Protocol

from support.realtime_frames import CLOSE, FIN, PING, PONG, TEXT, Frame, Message, Reader, close_payload, frame

KEY = "AAECAwQFBgcICQoLDA0ODw=="
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Wire(Protocol):
    """One end of a byte stream; the memory world's `Peer` is one."""

    received_bytes: int
    eof: bool
    broken: bool
    unsent: int
    on_data: Callable[[bytes], None] | None

    def send(self, data: bytes) -> None:
        """Send, or queue."""
        ...

    def end_sending(self) -> None:
        """Send FIN behind what is queued."""
        ...

    def close(self) -> None:
        """Close when all is sent."""
        ...

    def reset(self) -> None:
        """Break the stream."""
        ...

    def set_reading(self, enabled: bool) -> None:
        """Stop reading, or read on."""
        ...

    def take(self) -> bytes:
        """Return what came since the last call."""
        ...


class Head:
    """The head of a request or response."""

    def __init__(self, data: bytes) -> None:
        """Read it."""
        self.first, *lines = data.decode("latin-1").split("\r\n")
        self.fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def status(self) -> int:
        """A response's status."""
        return int(self.first.split(" ")[1])

    @property
    def target(self) -> str:
        """A request's target."""
        return self.first.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Return the values of a field, one for each line."""
        return [value for known, value in self.fields if known == name]

    def get(self, name: str) -> str | None:
        """Return the value of a field that may be there once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there more than once: {values}"
        return values[0] if values else None

    def items(self, name: str) -> list[str]:
        """Return the items of a list field."""
        return [item.strip() for value in self.all(name) for item in value.split(",")]


class Side:
    """One end: sends what it is told and keeps what comes. Pings are answered at once unless told otherwise."""

    def __init__(self, wire: Wire, run: Callable[[Callable[[], bool]], None], *, is_client: bool) -> None:
        """Play `wire`; `run` lets things happen until a condition holds."""
        self.wire = wire
        self.head: Head | None = None
        self.answers_pings = True
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.consume: Callable[[Frame], None] | None = None
        """Takes data frames in place of `message()`: for floods that nobody wants to keep."""
        self._is_client = is_client
        self._run = run
        self._raw = bytearray()
        self._frames: deque[Frame] = deque()
        self._sent_close = False
        self.reader = Reader(masked=not is_client)
        wire.on_data = self._on_data
        if wire.received_bytes:
            self._on_data(b"")

    # What is sent

    def send(self, *frames: bytes) -> None:
        """Send bytes in one piece."""
        self.wire.send(b"".join(frames))

    def frame(self, head: int, payload: bytes = b"") -> bytes:
        """Return a frame as this side has to write it; `head` says so itself."""
        return frame(head, payload, masked=self._is_client)

    def whole(self, message: Message) -> bytes:
        """Return a message in one frame."""
        return self.frame(FIN | message.opcode, message.payload)

    def say(self, text: str | bytes) -> None:
        """Send a text message."""
        self.send(self.frame(FIN | TEXT, text.encode() if isinstance(text, str) else text))

    def close(self, code: int | None = None, reason: bytes = b"") -> None:
        """Send a Close."""
        self._sent_close = True
        self.send(self.frame(FIN | CLOSE, close_payload(code, reason)))

    # What came

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let things happen until a condition holds."""
        self._run(condition)

    def wait_for_pings(self, count: int) -> None:
        """Wait until that many pings have come in all."""
        self._run(lambda: len(self.pings) >= count or self.has_ended)
        assert len(self.pings) >= count, "the stream ended"

    def wait_for_pongs(self, payload: bytes, count: int) -> None:
        """Wait until that many pongs with that payload have come in all."""
        self._run(lambda: self.pongs.count(payload) == count or self.has_ended)
        assert self.pongs.count(payload) == count, "the stream ended"

    def get_head(self) -> Head:
        """Wait for the head of the other side's request or response."""
        self._run(lambda: self.head is not None or self.has_ended)
        assert self.head is not None, "the stream ended without a head"
        return self.head

    def get_body(self) -> bytes:
        """Wait for the body of a response that is no upgrade."""
        length = self.get_head().get("content-length")
        if self.get_head().get("transfer-encoding") == "chunked":
            self._run(lambda: self._raw.endswith(b"0\r\n\r\n") or self.has_ended)
            return unchunked(bytes(self._raw))
        if length is None:
            self._run(lambda: self.has_ended)
        else:
            self._run(lambda: len(self._raw) >= int(length) or self.has_ended)
            assert len(self._raw) == int(length), f"{len(self._raw)} of {length} bytes"
        return bytes(self._raw)

    def next_frame(self) -> Frame:
        """Wait for the next frame that is no ping and no pong."""
        self._run(lambda: bool(self._frames) or self.has_ended)
        assert self._frames, f"the stream ended {'in order' if self.wire.eof else 'broken'} when a frame was expected"
        return self._frames.popleft()

    def message(self) -> Message:
        """Wait for the next message."""
        opcode, parts, is_final = 0, list[bytes](), False
        while not is_final:
            got = self.next_frame()
            assert got.opcode < CLOSE, f"expected data, not a Close with {got.payload!r}"
            opcode = got.opcode or opcode
            parts.append(got.payload)
            is_final = got.is_final
        return Message(opcode, b"".join(parts))

    def text(self) -> str:
        """Wait for the next message, which is a text."""
        message = self.message()
        assert message.opcode == TEXT, message
        return message.payload.decode()

    def got_close(self) -> tuple[int | None, bytes]:
        """Wait for the Close, which must be what comes next; its code and reason."""
        got = self.next_frame()
        assert got.opcode == CLOSE, f"expected a Close, not {got}"
        return (int.from_bytes(got.payload[:2], "big") if got.payload else None), got.payload[2:]

    @property
    def has_ended(self) -> bool:
        """Nothing more can come."""
        return self.wire.eof or self.wire.broken

    @property
    def is_quiet(self) -> bool:
        """No frame waits to be looked at, and none has begun to come."""
        return not self._frames and not self.reader.unread_bytes

    def ended(self) -> None:
        """Wait for the end of the stream, with nothing before it."""
        self._run(lambda: self.has_ended)
        assert not self._frames, f"{self._frames[0]} before the end"
        assert not self.reader.unread_bytes, "the stream ended within a frame"

    def broke(self) -> None:
        """Wait for the end of the stream, whatever comes before it."""
        self._run(lambda: self.has_ended)

    def _on_data(self, _: bytes) -> None:
        data = self.wire.take()
        if self.head is None:
            self._raw += data
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = Head(bytes(self._raw[:end]))
            data = bytes(self._raw[end + 4 :])
            self._raw.clear()
        if self._is_client and self.head.status != 101:
            self._raw += data
            return
        self.reader.feed(data)
        while (got := self.reader.next()) is not None:
            self._take(got)

    def _take(self, got: Frame) -> None:
        if got.opcode == PING:
            self.pings.append(got.payload)
            if self.answers_pings and not self._sent_close:
                self.send(self.frame(FIN | PONG, got.payload))
        elif got.opcode == PONG:
            self.pongs.append(got.payload)
        elif self.consume is not None and got.opcode < CLOSE:
            self.consume(got)
        else:
            self._frames.append(got)


def request(target: str, *lines: str) -> bytes:
    """Return an upgrade request."""
    head = [
        f"GET {target} HTTP/1.1",
        "Host: gateway.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def accept_value(key: str) -> str:
    """Return the answer to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def response(key: str, *lines: str) -> bytes:
    """Return the head of a 101 to a request with that key."""
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*head, f"Sec-WebSocket-Accept: {accept_value(key)}", *lines, "", ""]).encode("latin-1")


def part(client: Side, provider: Side) -> None:
    """Let the client close the session, and both go."""
    client.close(1000)
    assert provider.got_close() == (1000, b"")
    provider.close(1000)
    assert client.got_close() == (1000, b"")
    leave(client, provider)


def leave(client: Side, provider: Side) -> None:
    """See both streams end after Close frames went both ways: a server ends its stream first (RFC 6455 section 7.1.1).

    A client waits for that, without having to do anything.
    """
    provider.wire.end_sending()
    client.ended()
    client.wire.close()
    provider.ended()


def unchunked(data: bytes) -> bytes:
    """Join the chunks of a body (RFC 9112 section 7.1)."""
    parts, rest = list[bytes](), data
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return b"".join(parts)
        parts.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
