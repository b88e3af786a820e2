"""The mock engine on a bench: a clock that jumps, links driven by hand, and a client that reads what they bring."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from aigw_proto._effects import CloseHow, CloseLink, Drained, EndSending, Journal, Log, SendBytes, SetReading
from aigw_proto._inputs import BytesReceived, BytesSent, Input, LinkAccepted
from aigw_proto._kinds import LinkId, Role, Signal
from aigw_proto.http import (
    BodyPiece,
    EndOfMessage,
    Failed,
    H1Connection,
    InformationalResponse,
    Request,
    Response,
    ServerSentEvent,
    SseDecoder,
    StreamEnded,
)
from aigw_proto.mock import MockEngine, MockFault, MockLimits, MockRecord
from aigw_proto.testing import Checked
from support.frames import frame, parse

CHAT = "/openai/v1/chat/completions"
PROMPT = {"model": "m", "messages": [{"role": "user", "content": "alpha beta gamma"}]}
STREAM = PROMPT | {"stream": True}
TEXT = "You said: alpha beta gamma"


@dataclass
class Answer:
    """What a client made of the bytes of one link."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""
    complete: bool = False
    failed: Failed | None = None
    interim: int = 0

    def json(self) -> dict[str, object]:
        value: dict[str, object] = json.loads(self.body)
        return value

    def events(self) -> list[bytes]:
        decoder = SseDecoder()
        decoder.receive_data(self.body, 0.0)
        found: list[bytes] = []
        while not isinstance(event := decoder.next_event(), Signal):
            assert isinstance(event, ServerSentEvent)
            found.append(event.data)
        return found

    def text(self) -> str:
        chunks = [json.loads(event) for event in self.events() if event.startswith(b"{")]
        return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


class Bench:
    """Drives a mock engine by hand: a clock that jumps, and for each link a kernel that takes `window` bytes."""

    def __init__(
        self, *, fault: MockFault | None = None, limits: MockLimits | None = None, window: int | None = None
    ) -> None:
        self.engine: Checked[Input] = Checked(
            MockEngine(fault=fault, epoch_unix_seconds=1e9, limits=limits or MockLimits())
        )
        self.now = 0.0
        self.window = window
        self.taken: dict[LinkId, int] = defaultdict(int)
        self.sent: dict[LinkId, list[bytes]] = defaultdict(list)
        self.sizes: dict[LinkId, int] = defaultdict(int)
        self.closed: dict[LinkId, CloseHow] = {}
        self.reading: dict[LinkId, bool] = {}
        self.ended: set[LinkId] = set()
        self.journal: list[MockRecord] = []
        self.logs: list[Log] = []
        self.drained = False
        self.turns = 0
        self.largest_turn = 0
        self._next_link = 0

    def open(self) -> LinkId:
        link = LinkId(self._next_link)
        self._next_link += 2
        self.feed(LinkAccepted(link, f"peer {link}"))
        return link

    def feed(self, event: Input) -> None:
        self.engine.handle(event, self.now)
        self._perform()

    def wake(self) -> None:
        self.engine.handle_timeout(self.now)
        self._perform()

    def take(self, link: LinkId, count: int) -> None:
        """Let the kernel of a link take more bytes."""
        before = self.unsent(link)
        self.taken[link] += count
        if before and link not in self.closed:
            self.feed(BytesSent(link, self.unsent(link)))

    def unsent(self, link: LinkId) -> int:
        return 0 if self.window is None else max(0, self.sizes[link] - self.window - self.taken[link])

    def run(self, until: float | None = None, *, turns: int = 20_000) -> None:
        """Let time pass up to `until` (only the present instant when not given)."""
        end = self.now if until is None else until
        for _ in range(turns):
            deadline = self.engine.next_timeout()
            if deadline is None or deadline > end or self.drained:
                break
            self.now = max(self.now, deadline)
            self.wake()
        self.now = end

    def ask(
        self,
        target: str = CHAT,
        body: object = PROMPT,
        *,
        link: LinkId | None = None,
        method: str = "POST",
        headers: Sequence[tuple[str, str]] = (),
        fault: str | None = None,
    ) -> LinkId:
        """Send a whole request on a link, a fresh one when none is given."""
        link = self.open() if link is None else link
        self.feed(BytesReceived(link, request_bytes(target, body, method=method, headers=headers, fault=fault)))
        return link

    def answer(self, link: LinkId, *, method: str = "POST", start: int = 0) -> Answer:
        return read_answer(b"".join(self.sent[link])[start:], method=method, ended=link in self.closed)

    def outcomes(self) -> list[str]:
        """Return how the requests ended, in order."""
        return [record.outcome for record in self.journal]

    def _perform(self) -> None:
        """Carry out the effects of a turn, and of those turns that they bring about."""
        backlogs = self._carry_out()
        while backlogs:
            link = backlogs.popleft()
            if link not in self.closed:
                self.engine.handle(BytesSent(link, self.unsent(link)), self.now)
                backlogs += self._carry_out()

    def _carry_out(self) -> deque[LinkId]:
        """Carry out the effects of one turn; return the links on which it left a backlog."""
        size = 0
        self.turns += 1
        backlogs: deque[LinkId] = deque()
        while (effect := self.engine.poll()) is not None:
            match effect:
                case SendBytes(link, chunks):
                    self.sent[link] += chunks
                    length = sum(map(len, chunks))
                    self.sizes[link] += length
                    size += length
                    if self.unsent(link):
                        backlogs.append(link)
                case CloseLink(link, how):
                    self.closed[link] = how
                case SetReading(link, enabled):
                    self.reading[link] = enabled
                case EndSending(link):
                    self.ended.add(link)
                case Journal(entry):
                    assert isinstance(entry, MockRecord)
                    self.journal.append(entry)
                case Log():
                    self.logs.append(effect)
                case Drained():
                    self.drained = True
                case _:
                    pytest.fail(f"{effect} is no effect of a mock")
        self.largest_turn = max(self.largest_turn, size)
        return backlogs


def request_bytes(
    target: str = CHAT,
    body: object = PROMPT,
    *,
    method: str = "POST",
    headers: Sequence[tuple[str, str]] = (),
    fault: str | None = None,
) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: mock.test"]
    if method not in {"GET", "HEAD"}:
        lines.append(f"Content-Length: {len(content)}")
    lines += [f"{name}: {value}" for name, value in headers]
    if fault is not None:
        lines.append(f"x-aigw-mock: {fault}")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method in {"GET", "HEAD"} else content)


def read_answer(data: bytes, *, method: str = "POST", ended: bool = False) -> Answer:
    client = H1Connection(Role.CLIENT, now=0.0)
    client.send_request(Request(method.encode(), b"/", [(b"host", b"x"), (b"content-length", b"0")]))
    client.end_message()
    client.receive_data(data, 0.0)
    if ended:
        client.receive_eof(0.0)
    answer = Answer()
    pieces: list[bytes] = []
    while not answer.complete:
        match event := client.next_event():
            case Response():
                answer.status, answer.headers = event.status, dict(event.headers)
            case InformationalResponse():
                answer.interim = event.status
            case BodyPiece():
                pieces.append(event.data)
            case EndOfMessage():
                answer.complete = True
            case Failed():
                answer.failed = event
                break
            case Signal() | StreamEnded():
                break
            case Request():
                pytest.fail("a request from a server")
    answer.body = b"".join(pieces)
    return answer


def upgrade_bytes(
    target: str, *, headers: Sequence[tuple[str, str]] = (), fault: str | None = None, subprotocols: str | None = None
) -> bytes:
    """Return an upgrade request."""
    lines = [f"GET {target} HTTP/1.1", "Host: mock.test", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    lines += [f"{name}: {value}" for name, value in headers]
    if subprotocols is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocols}")
    if fault is not None:
        lines.append(f"x-aigw-mock: {fault}")
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """A WebSocket client on a bench: what it sends is fed at once, what it got is read when asked for."""

    def __init__(
        self,
        bench: Bench,
        target: str = "/v1/realtime?model=m",
        *,
        headers: Sequence[tuple[str, str]] = (),
        fault: str | None = None,
        subprotocols: str | None = None,
        behind: bytes = b"",
        link: LinkId | None = None,
        start: int = 0,
    ) -> None:
        """Send an upgrade, on a fresh link or on one that has sent `start` bytes; `behind` comes in the same bytes."""
        self.bench = bench
        self.link = bench.open() if link is None else link
        self._start = start
        request = upgrade_bytes(target, headers=headers, fault=fault, subprotocols=subprotocols)
        bench.feed(BytesReceived(self.link, request + behind))

    @property
    def received(self) -> bytes:
        """Everything that came."""
        return b"".join(self.bench.sent[self.link])[self._start :]

    @property
    def head(self) -> bytes:
        """The head of the answer."""
        return self.received.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        """Everything behind the head of the answer."""
        return self.received.partition(b"\r\n\r\n")[2]

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that came, as (first octet, payload)."""
        return parse(self.body)

    @property
    def messages(self) -> list[bytes]:
        """The payloads of messages in one frame."""
        return [payload for head, payload in self.frames if head in (0x81, 0x82)]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The messages as JSON."""
        return [json.loads(message) for message in self.messages]

    @property
    def kinds(self) -> list[str]:
        """The types of the events."""
        return [event["type"] for event in self.events]

    @property
    def close(self) -> tuple[int | None, str] | None:
        """Code and reason of the Close that came; None when none did."""
        found = [payload for head, payload in self.frames if head == 0x88]
        if not found:
            return None
        return (int.from_bytes(found[0][:2], "big"), found[0][2:].decode()) if found[0] else (None, "")

    def send(self, message: object, *, binary: bool = False) -> None:
        """Send a message: bytes as they are, a text, or anything else as JSON; then let the mock answer."""
        data = message if isinstance(message, bytes) else message.encode() if isinstance(message, str) else None
        payload = json.dumps(message).encode() if data is None else data
        self.send_frame(0x82 if binary or isinstance(message, bytes) else 0x81, payload)

    def send_frame(self, head: int, payload: bytes = b"") -> None:
        self.feed(frame(head, payload))

    def feed(self, data: bytes) -> None:
        self.bench.feed(BytesReceived(self.link, data))
        self.bench.run()

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        self.send_frame(0x88, b"" if code is None else code.to_bytes(2, "big") + reason.encode())
