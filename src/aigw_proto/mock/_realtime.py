"""Which realtime provider an upgrade means, and how it is answered.

As for HTTP only the end of the path counts, and the first route that matches wins. Only fal cannot be told by the path
alone: its models may be named anything, so its clients are also known by the form of their key.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from .._kinds import record
from ..http import Request
from ..ws import DeflatePolicy, UpgradeOffer, UpgradeRefused, accept_upgrade, check_upgrade
from . import _cartesia, _deepgram, _elevenlabs, _elevenlabs_agent, _fal, _gemini, _gemini_live, _openai, _workers_ai
from ._dialects import echo
from ._faults import MockFault
from ._openai_realtime import RealtimeTalk
from ._openai_responses import ResponsesTalk
from ._replies import Document
from ._request import MockRequest
from ._script import Switch
from ._talk import Echo, Say, Talk

__all__ = ["open_session", "refuse_session"]

_VALUE_MARK: Final = "."  # in a subprotocol that carries a key: `openai-insecure-api-key.KEY`
_ECHO_HEADER: Final = b"x-aigw-mock-echo"


@record
class _Route:
    path: re.Pattern[str]
    talk: Callable[[MockRequest, UpgradeOffer], Talk]
    error: Callable[[int, str, MockRequest], Document]


def _route(
    pattern: str,
    talk: Callable[[MockRequest, UpgradeOffer], Talk],
    error: Callable[[int, str, MockRequest], Document],
) -> _Route:
    return _Route(re.compile(pattern + r"/?\Z"), talk, error)


_FAL_REALTIME: Final = _route(r"/realtime", _fal.RealtimeTalk, _fal.print_error)
_FAL_REQUESTS: Final = _route(r"", _fal.RequestTalk, _fal.print_error)
_ROUTES: Final = (
    _route(r"/speech-to-text/realtime", _elevenlabs_agent.ScribeTalk, _elevenlabs.print_error),
    _route(r"/fal(?:-ai)?/.+/realtime", _fal.RealtimeTalk, _fal.print_error),
    _route(r"(?:(?:\A|/v1|/openai)|\A/[^/]+)/realtime", RealtimeTalk, _openai.print_error),
    _route(r"/[^/]+/[^/]+/realtime", _fal.RealtimeTalk, _fal.print_error),
    _route(r"/responses", ResponsesTalk, _openai.print_error),
    _route(r"[./]BidiGenerateContent(?:Constrained)?", _gemini_live.LiveTalk, _gemini.print_error),
    _route(r"/stream-input", _elevenlabs.SpeechTalk, _elevenlabs.print_error),
    _route(r"/multi-stream-input", _elevenlabs.MultiSpeechTalk, _elevenlabs.print_error),
    _route(r"/convai/conversation", _elevenlabs_agent.AgentTalk, _elevenlabs.print_error),
    _route(r"/tts/websocket", _cartesia.SpeechTalk, _cartesia.print_error),
    _route(r"/stt/websocket", _cartesia.ManualTalk, _cartesia.print_error),
    _route(r"/stt/turns/websocket", _cartesia.TurnsTalk, _cartesia.print_error),
    _route(r"/v1/listen", _deepgram.ListenTalk, _deepgram.print_error),
    _route(r"/v2/listen", _deepgram.FluxTalk, _deepgram.print_error),
    _route(r"/v1/speak", _deepgram.SpeakTalk, _deepgram.print_error),
    _route(r"/@cf/deepgram/flux[^/]*", _deepgram.FluxTalk, _workers_ai.print_error),
    _route(r"/@cf/deepgram/aura[^/]*", _deepgram.SpeakTalk, _workers_ai.print_error),
    _route(r"/@cf/deepgram/[^/]+", _deepgram.ListenTalk, _workers_ai.print_error),
    _route(r"/fal(?:-ai)?/.+", _fal.RequestTalk, _fal.print_error),
)


def _find_route(request: MockRequest) -> _Route | None:
    if (request.header(b"authorization") or b"").lower().startswith(b"key "):
        return next(route for route in (_FAL_REALTIME, _FAL_REQUESTS) if route.path.search(request.path))
    return next((route for route in _ROUTES if route.path.search(request.path)), None)


def refuse_session(status: int, message: str, request: MockRequest) -> Document:
    """Return the refusal of an upgrade in the form of the provider that it means: OpenAI's when it means none."""
    route = _find_route(request)
    refusal = (_openai.print_error if route is None else route.error)(status, message, request)
    return dataclasses.replace(refusal, status=status)


def open_session(request: MockRequest, head: Request, fault: MockFault) -> Document | Switch:
    """Return the answer to an upgrade: a refusal as the provider prints it, or the session."""
    if fault.status is not None:
        return refuse_session(fault.status, f"The mock provider was asked to answer {fault.status}", request)
    offer = check_upgrade(head)
    if isinstance(offer, UpgradeRefused):
        return dataclasses.replace(refuse_session(offer.status, offer.reason, request), headers=tuple(offer.headers))
    talk = _find_talk(request, offer, fault)
    if talk is None:
        return refuse_session(404, f"Invalid URL (WebSocket {request.path})", request)
    return _accept(offer, talk, fault)


def _find_talk(request: MockRequest, offer: UpgradeOffer, fault: MockFault) -> Talk | None:
    wish = request.header(_ECHO_HEADER)
    if wish in (b"1", b"request") or request.path.endswith("/echo"):
        plain = tuple(item for item in offer.subprotocols if _VALUE_MARK not in item)
        return Echo(plain, Say(echo(request).before) if wish == b"request" else None)
    route = _find_route(request)
    return None if route is None else route.talk(dataclasses.replace(request, chunks=fault.chunks), offer)


def _accept(offer: UpgradeOffer, talk: Talk, fault: MockFault) -> Switch:
    chosen = next((item for item in talk.subprotocols if item in offer.subprotocols), None)
    response, accepted = accept_upgrade(
        offer, subprotocol=chosen if fault.subprotocol is None else None, deflate=DeflatePolicy()
    )
    headers = response.headers
    if fault.subprotocol is not None:
        headers = [*headers, (b"Sec-WebSocket-Protocol", fault.subprotocol.encode("ascii"))]
    if fault.bad_accept:
        headers = [(name, value[::-1] if name.endswith(b"Accept") else value) for name, value in headers]
    return Switch(dataclasses.replace(response, headers=headers), accepted.deflate, talk, fault)
