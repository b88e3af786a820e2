"""The realtime half of `aigw demo`: a spoken turn with one provider, and a look at what another says."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, cast

from ..anyio import connect_realtime
from .log import plain, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..anyio import RealtimeConnection

__all__ = ["INTRODUCTION", "show_realtime"]

INTRODUCTION = """\
The realtime API relays a WebSocket to the provider's own, frame by frame. What goes out is marked >,
what comes back <; audio is shown by its size.
"""
_SPEECH = bytes(4800)  # a tenth of a second of silence, as PCM of 24 kHz
_TURN: tuple[dict[str, object], ...] = (
    {"type": "input_audio_buffer.append", "audio": base64.b64encode(_SPEECH).decode()},
    {"type": "input_audio_buffer.commit"},
    {"type": "response.create"},
)
_SETUP = {"setup": {"model": "models/gemini-live-2.5-flash"}}
_QUESTION = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hello"}]}], "turnComplete": True}}


async def show_realtime(base: str, line: Callable[[str], None]) -> int:
    """Play two sessions through the gateway at `base`, print them with `line`; return how many messages went."""
    screen = _Screen(line)
    key = {"authorization": "Bearer sk-demo"}
    async with connect_realtime(f"{base}/openai?model=gpt-realtime", headers=key) as session:
        screen.heading(f"{base}/openai?model=gpt-realtime")
        await screen.receive(session, until="session.created")
        for message in _TURN:
            await screen.send(session, message)
        await screen.receive(session, until="response.done")
        await session.close(4007, "the demonstration is over")
    screen.end("closed with 4007, which the provider got too")
    async with connect_realtime(f"{base}/google?api_key=demo") as session:
        screen.heading(f"{base}/google?api_key=…")
        await screen.send(session, _SETUP)
        await screen.receive(session, until="setupComplete")
        await screen.send(session, _QUESTION)
        await screen.receive(session, until="turnComplete")
    screen.end("closed")
    return screen.messages


class _Screen:
    """Prints messages as they go, and counts them."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._began = time.monotonic()
        self.messages = 0

    def heading(self, url: str) -> None:
        self._line(f"        {url}")

    def end(self, how: str) -> None:
        self._show("x", how)

    async def send(self, session: RealtimeConnection, message: object) -> None:
        text = json.dumps(message)
        self._show(">", _summary(text))
        self.messages += 1
        await session.send(text)

    async def receive(self, session: RealtimeConnection, *, until: str) -> None:
        """Show what comes until a message names `until`."""
        async for message in session:
            self.messages += 1
            self._show("<", _summary(message))
            if until in (message if isinstance(message, str) else message.decode("utf-8", "replace")):
                return

    def _show(self, mark: str, words: str) -> None:
        milliseconds = (time.monotonic() - self._began) * 1000
        self._line(f"{milliseconds:6.0f}  {mark} {words}")


def _summary(message: str | bytes) -> str:
    """Return what a message is: its type, and the one thing in it that a person wants to see."""
    kind = "text  " if isinstance(message, str) else "binary"
    fields = cast("dict[str, object]", json.loads(message))
    name = str(fields.get("type", next(iter(fields), "")))
    for key in ("delta", "transcript", "audio"):
        value = fields.get(key)
        if isinstance(value, str) and value:
            is_audio = key == "audio" or "audio.delta" in name
            shown = f"{size(len(base64.b64decode(value)))} of audio" if is_audio else repr(value)
            return plain(f"{kind} {name} {shown}", 96)
    return plain(f"{kind} {name}{_usage(fields)}", 96)


def _usage(fields: dict[str, object]) -> str:
    response = fields.get("response")
    usage: object = fields.get("usageMetadata")
    if usage is None and isinstance(response, dict):
        usage = cast("dict[str, object]", response).get("usage")
    if not isinstance(usage, dict):
        return ""
    counts = cast("dict[str, object]", usage)
    total = counts.get("total_tokens", counts.get("totalTokenCount"))
    return f" ({total} tokens)" if total is not None else ""
