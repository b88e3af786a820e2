"""The mock engine on a bench: a clock that jumps, links driven by hand, and a client that reads what they bring."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

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
        if before:
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
        size = 0
        self.turns += 1
        backlogs: list[BytesSent] = []
        while (effect := self.engine.poll()) is not None:
            match effect:
                case SendBytes(link, chunks):
                    self.sent[link] += chunks
                    length = sum(map(len, chunks))
                    self.sizes[link] += length
                    size += length
                    if unsent := self.unsent(link):
                        backlogs.append(BytesSent(link, unsent))
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
        for backlog in backlogs:
            if backlog.link not in self.closed:
                self.feed(backlog)


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
