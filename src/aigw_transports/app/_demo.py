"""`aigw demo`: several requests at once on one WebSocket, then two realtime sessions, shown frame by frame.

Everything is real but the providers: a gateway and a fake provider listen on loopback in this process, and the client
is the one that programs use. The providers' delays are asked for with the fake provider's header.
"""

from __future__ import annotations

import functools
import io
import json
import time
from typing import TYPE_CHECKING, TextIO, cast

import anyio

from aigw_proto._kinds import record

from ..anyio import RequestRejected, connect
from ._demo_realtime import INTRODUCTION as REALTIME_INTRODUCTION
from ._demo_realtime import show_realtime
from ._serve import gateway_engine, mock_engine, redirected, running
from ._transports import run_on
from .config import default
from .log import TextLog, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..anyio import Gateway

__all__ = ["run_demo"]

_COLOURS = (32, 36, 35, 33, 31, 34)
_MARKS = {"universal.created": "C", "universal.stream": "*", "universal.done": "D"}
_MOST_CHUNKS_BEFORE_CANCEL = 4
_TRANSPORT = "asyncio"
_INTRODUCTION = """\
One WebSocket, {count} requests at once. Each has a column: C is its first frame, * a piece
of its stream, D its end; a line | means that its answer is still under way.
"""


@record
class Ask:
    """One request of the demonstration. `fault` steers the fake provider; `cancel` leaves the stream early."""

    name: str
    provider: str
    endpoint: str
    question: str
    fault: str
    stream: bool = True
    cancel: bool = False


ASKS = (
    Ask("chat", "openai", "chat/completions", "What is a gateway?", "chunk_delay=0.11,chunks=12"),
    Ask("essay", "anthropic", "v1/messages", "Why one socket for all?", "chunk_delay=0.07"),
    Ask("joke", "workers-ai", "@cf/meta/llama-3.1-8b-instruct", "Tell me a joke", "chunk_delay=0.16,chunks=7"),
    Ask("plain", "groq", "chat/completions", "Answer at once", "first_byte_delay=0.4", stream=False),
    Ask("error", "mistral", "v1/chat/completions", "Too many of these", "status=429,retry_after=1", stream=False),
    Ask("cancel", "deepseek", "chat/completions", "Never mind", "chunk_delay=0.13,chunks=1000", cancel=True),
)


class Screen:
    """Prints frames as they arrive and counts them."""

    def __init__(self, out: TextIO, names: tuple[str, ...]) -> None:
        """Print to `out`, with a column for each of `names`; with colour when `out` is a terminal."""
        self._out = out
        self._names = names
        self._colour = out.isatty()
        self._began = time.monotonic()
        self._open: set[str] = set()
        self._last = ""
        self.frames = dict.fromkeys(names, 0)
        self.switches = 0

    def show(self, text: str) -> None:
        """Print one frame of the gateway."""
        frame = cast("dict[str, object]", json.loads(text))
        metadata = cast("dict[str, object]", frame.get("metadata", {}))
        name, kind = str(metadata.get("eventId")), str(frame.get("type"))
        self.frames[name] = self.frames.get(name, 0) + 1
        self.switches += bool(self._last) and self._last != name
        self._last = name
        streams = kind == "universal.stream" or (kind == "universal.created" and "response" not in frame)
        (self._open.add if streams else self._open.discard)(name)
        lanes = " ".join(self._lane(other, name, _MARKS.get(kind, "?")) for other in self._names)
        words = _summary(kind, metadata, frame.get("response"))
        milliseconds = (time.monotonic() - self._began) * 1000
        self.line(f"{milliseconds:6.0f}  {lanes}  {self.paint(name, f'{name:<7}')} {kind.partition('.')[2]:<8}{words}")

    def _lane(self, name: str, current: str, mark: str) -> str:
        return self.paint(name, f"{mark if name == current else '|' if name in self._open else ' ':^6}")

    def paint(self, name: str, text: str) -> str:
        """Colour `text` for the request of that name."""
        if not self._colour or name not in self._names:
            return text
        return f"\x1b[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._out.write(text.rstrip() + "\n")
        self._out.flush()

    def heading(self) -> None:
        """Print the names of the columns."""
        self.line("    ms  " + " ".join(self.paint(name, f"{name:^6}") for name in self._names))


def run_demo(out: TextIO) -> int:
    """Run the demonstration and print it to `out`; return the exit status."""
    return run_on(_TRANSPORT, functools.partial(_demo, out))


async def _demo(out: TextIO) -> int:
    screen = Screen(out, tuple(ask.name for ask in ASKS))
    lines = io.StringIO()
    log = TextLog(lines)
    results: dict[str, str] = {}
    async with running(mock_engine(), log, _TRANSPORT) as mock_port:
        engine = gateway_engine(redirected(default().gateway, mock_port))
        async with running(engine, log, _TRANSPORT, journal=True) as port:
            url = f"ws://127.0.0.1:{port}/v1/demo/default"
            async with connect(url, on_frame=screen.show) as gateway:
                screen.line(_INTRODUCTION.format(count=len(ASKS)))
                screen.line(f"        {url}")
                screen.heading()
                began = time.monotonic()
                async with anyio.create_task_group() as tasks:
                    for ask in ASKS:
                        tasks.start_soon(_ask, gateway, ask, results)
                seconds = time.monotonic() - began
            _report(screen, results)
            screen.line()
            screen.line(REALTIME_INTRODUCTION)
            messages = await show_realtime(url, screen.line)
    screen.line()
    screen.line("What the gateway logged:")
    for line in lines.getvalue().splitlines():
        screen.line("  " + line)
    screen.line()
    screen.line(
        f"{sum(screen.frames.values())} frames of {len(results)} requests came over one socket in {seconds:.1f} s; "
        f"{screen.switches} times the next frame belonged to another request."
    )
    screen.line(f"{messages} messages went through two realtime sessions.")
    return 0 if len(results) == len(ASKS) else 1


async def _ask(gateway: Gateway, ask: Ask, results: dict[str, str]) -> None:
    """Run one request; note how it ended."""
    query = {"model": "demo", "max_tokens": 100, "messages": [{"role": "user", "content": ask.question}]}
    headers = {"x-aigw-mock": ask.fault}
    if not ask.stream:
        try:
            reply = await gateway.create(ask.provider, ask.endpoint, query, headers=headers, event_id=ask.name)
            results[ask.name] = f"answered whole, status {reply.metadata.status}"
        except RequestRejected as error:
            results[ask.name] = f"{type(error).__name__}: {error}"
        return
    query["stream"] = True
    chunks = 0
    async with gateway.stream(ask.provider, ask.endpoint, query, headers=headers, event_id=ask.name) as stream:
        async for _ in stream:
            chunks += 1
            if ask.cancel and chunks == _MOST_CHUNKS_BEFORE_CANCEL:
                results[ask.name] = f"cancelled after {chunks} pieces; the gateway stopped the provider"
                return
    results[ask.name] = f"streamed in {chunks} pieces"


def _report(screen: Screen, results: Mapping[str, str]) -> None:
    screen.line()
    screen.line("How each ended:")
    for ask in ASKS:
        ended = results.get(ask.name, "did not end")
        screen.line(f"  {screen.paint(ask.name, f'{ask.name:<7}')} {ask.provider:<11} {ended}")


def _summary(kind: str, metadata: Mapping[str, object], response: object) -> str:
    """Return the words that a frame carries, or else what is remarkable about it."""
    if kind == "universal.done":
        return "cancelled" if metadata.get("cancelled") else str(metadata.get("error", ""))
    if response is None:
        return f"{metadata.get('status')} {metadata.get('contentType')}"
    words = _words(response)
    event = metadata.get("event")
    if words is None:
        words = f"({event})" if event else json.dumps(response)
    return plain(f"{metadata['status']} {words}" if kind == "universal.created" else words, 60)


def _words(value: object) -> str | None:
    """Return the text in a reply or a piece of one, whichever provider's form it has."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return _words(items[0]) if items else None
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        for key in ("choices", "delta", "message", "content", "text", "response", "error"):
            if key in fields and (words := _words(fields[key])) is not None:
                return words
    return None
