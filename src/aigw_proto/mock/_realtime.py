"""Which realtime provider an upgrade means, and how it is answered.

As for HTTP only the end of the path counts, and the first route that matches wins.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from .._kinds import record
from ..http import Request
from ..ws import DeflatePolicy, UpgradeOffer, UpgradeRefused, accept_upgrade, check_upgrade
from . import _openai_realtime
from ._dialects import echo, refuse
from ._faults import MockFault
from ._replies import Document
from ._request import MockRequest
from ._script import Switch
from ._talk import Echo, Say, Talk

__all__ = ["open_session"]

_VALUE_MARK: Final = "."  # in a subprotocol that carries a key: `openai-insecure-api-key.KEY`
_ECHO_HEADER: Final = b"x-aigw-mock-echo"


@record
class _Route:
    path: re.Pattern[str]
    talk: Callable[[MockRequest, UpgradeOffer], Talk]


def _route(pattern: str, talk: Callable[[MockRequest, UpgradeOffer], Talk]) -> _Route:
    return _Route(re.compile(pattern + r"/?\Z"), talk)


_ROUTES: Final = (_route(r"/realtime", _openai_realtime.RealtimeTalk),)


def open_session(request: MockRequest, head: Request, fault: MockFault) -> Document | Switch:
    """Return the answer to an upgrade: a refusal as the provider prints it, or the session."""
    if fault.status is not None:
        refusal = refuse(fault.status, f"The mock provider was asked to answer {fault.status}", request)
        return dataclasses.replace(refusal, status=fault.status)
    offer = check_upgrade(head)
    if isinstance(offer, UpgradeRefused):
        refusal = refuse(offer.status, offer.reason, request)
        return dataclasses.replace(refusal, headers=tuple(offer.headers))
    talk = _find_talk(request, offer, fault)
    if talk is None:
        return refuse(404, f"Invalid URL (WebSocket {request.path})", request)
    return _accept(offer, talk, fault)


def _find_talk(request: MockRequest, offer: UpgradeOffer, fault: MockFault) -> Talk | None:
    wish = request.header(_ECHO_HEADER)
    if wish in (b"1", b"request") or request.path.endswith("/echo"):
        plain = tuple(item for item in offer.subprotocols if _VALUE_MARK not in item)
        return Echo(plain, Say(echo(request).before) if wish == b"request" else None)
    asked = dataclasses.replace(request, chunks=fault.chunks)
    return next((route.talk(asked, offer) for route in _ROUTES if route.path.search(request.path)), None)


def _accept(offer: UpgradeOffer, talk: Talk, fault: MockFault) -> Switch:
    chosen = next((item for item in talk.subprotocols if item in offer.subprotocols), None)
    response, accepted = accept_upgrade(
        offer, subprotocol=chosen if fault.subprotocol is None else None, deflate=DeflatePolicy()
    )
    if fault.subprotocol is not None:
        response.headers.append((b"Sec-WebSocket-Protocol", fault.subprotocol.encode("ascii")))
    if fault.bad_accept:
        response = dataclasses.replace(
            response,
            headers=[(name, value[::-1] if name.endswith(b"Accept") else value) for name, value in response.headers],
        )
    return Switch(response, accepted.deflate, talk, fault)
