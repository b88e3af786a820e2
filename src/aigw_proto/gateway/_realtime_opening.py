"""How a realtime session opens: the provider is asked first, and its answer becomes the client's.

Whatever goes wrong before the client's 101 reaches it as an HTTP answer: the provider's own refusal with its status,
body and headers, or the gateway's 502 and 504. A client that was let in first and closed afterwards would never learn
the reason; most libraries show the status of a refused handshake and nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .._effects import Connect
from .._kinds import LinkId, Role, Signal, record
from ..envelopes import ErrorCode, gateway_error
from ..http import Failed, H1Connection, Headers, Response
from ..providers import choose_subprotocol
from ..ws import (
    DeflatePolicy,
    Delivery,
    Opening,
    UpgradeAccepted,
    UpgradeRefused,
    WSConnection,
    accept_upgrade,
    new_key,
)

if TYPE_CHECKING:
    from ._core import Core
    from ._upgrade import RealtimeUpgrade

__all__ = ["RealtimeOpening", "Refusal"]

_LEAST_ERROR = 300
_TIMED_OUT = 408
_LOG_ID = b"cf-aig-log-id"
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",  # of a request, but some servers send back what they got
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What a provider says of its own host: on the gateway's it would be wrong, or lead clients past it.
_OF_THE_HOST = frozenset({b"alt-svc", b"location", b"set-cookie", b"strict-transport-security"})


@record
class Refusal:
    """An answer other than 101. `message` is for the log, `by_provider` says whose it is."""

    status: int
    headers: Headers
    body: bytes
    message: str
    by_provider: bool = False


class RealtimeOpening:
    """The opening of one session: what to connect to, what to ask, what to answer.

    `deadline` is for the whole of it; `subprotocol` is the one that the client was given. `deflates` says with whom
    compression was agreed: with the client, with the provider.
    """

    __slots__ = ("_core", "_http", "_log_id", "_opening", "_upgrade", "deadline", "deflates", "subprotocol")

    def __init__(self, core: Core, upgrade: RealtimeUpgrade, http: H1Connection, log_id: str, now: float) -> None:
        """Begin at `now` with a client's request that waits on `http`."""
        self._core = core
        self._upgrade = upgrade
        self._http = http
        self._log_id = log_id
        self._opening: Opening | None = None
        seconds = core.config.limits.realtime_open_timeout_seconds
        wanted = upgrade.open_timeout_seconds
        self.deadline = now + (seconds if wanted is None else min(seconds, wanted))
        self.subprotocol: str | None = None
        self.deflates = (False, False)
        http.next_event()  # the end of the request; from here on the machine waits for the answer and nothing else

    # ---- the provider ----------------------------------------------------------------------------------------------

    def connect(self, link: LinkId) -> Connect:
        """Return the effect that opens the link to the provider."""
        target = self._upgrade.plan.target
        return Connect(link, target.host, target.port, target.tls, ("http/1.1",) if target.tls else ())

    def ask(self, now: float) -> Opening:
        """Return the handshake on the link that is open now; its request is queued."""
        plan = self._upgrade.plan
        limits = dataclasses.replace(self._core.config.http, head_timeout_seconds=max(0.0, self.deadline - now))
        self._opening = Opening.client(
            now=now,
            host=plan.target.host_header,
            target=plan.target.target,
            key=new_key(self._core.entropy),
            subprotocols=plan.subprotocols,
            deflate=DeflatePolicy() if plan.deflate else None,
            headers=plan.headers,
            limits=limits,
        )
        return self._opening

    def answer(self, now: float) -> tuple[WSConnection, WSConnection] | Refusal | None:
        """Return what the provider has answered: the WebSockets of client and provider, a refusal, or nothing yet."""
        opening = self._opening
        event = Signal.NEED_DATA if opening is None else opening.next_event()
        if isinstance(event, UpgradeAccepted) and opening is not None:
            return self._accept(opening, event, now)
        if isinstance(event, UpgradeRefused):
            return self._refused(event)
        if isinstance(event, Failed) and event.status == _TIMED_OUT:
            return self.too_slow()
        if isinstance(event, Failed) and event.received_any:
            reason = self._without_keys(event.reason.encode("utf-8", "replace")).decode()  # it may quote the provider
            return self._gateway_refusal(502, f"the answer to the upgrade is no HTTP: {reason}")
        if isinstance(event, Signal):
            return None
        return self._gateway_refusal(502, "it closed the connection without an answer to the upgrade")

    def _accept(self, opening: Opening, accepted: UpgradeAccepted, now: float) -> tuple[WSConnection, WSConnection]:
        core, offer = self._core, self._upgrade.offer
        self.subprotocol = choose_subprotocol(offer.subprotocols, accepted.subprotocol)
        response, agreed = accept_upgrade(
            offer,
            subprotocol=self.subprotocol,
            deflate=core.config.deflate,
            headers=[*self._for_the_client(accepted.headers), (_LOG_ID, self._log_id.encode())],
        )
        self._http.send_switch(response)
        self.deflates = (agreed.deflate is not None, accepted.deflate is not None)
        client = WSConnection(
            Role.SERVER, now=now, limits=core.config.websocket, deflate=agreed.deflate, delivery=Delivery.RELAY
        )
        if rest := self._http.unconsumed():
            client.receive_data(rest, now)
        opening.next_event()  # SWITCHED, from where on there is a connection to take
        provider = opening.connection(
            now=now, limits=core.config.websocket, entropy=core.entropy, delivery=Delivery.RELAY
        )
        return client, provider

    def _refused(self, event: UpgradeRefused) -> Refusal:
        if event.status < _LEAST_ERROR:
            said = "its handshake is not valid" if event.status == 101 else f"it answered {event.status}"
            return self._gateway_refusal(502, f"it is no WebSocket server: {said}")
        message = f"the provider answered {event.status}"
        headers = self._for_the_client(event.headers)
        if event.status == 426:
            headers.append((b"upgrade", b"websocket"))
        return Refusal(event.status, headers, self._without_keys(event.body), message, by_provider=True)

    # ---- the client ------------------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal, now: float) -> None:
        """Queue the answer to the client, if one can still be sent."""
        if self._http.can_answer:
            headers = [
                *refusal.headers,
                (b"content-length", b"%d" % len(refusal.body)),
                (_LOG_ID, self._log_id.encode()),
                (b"connection", b"close, upgrade" if refusal.status == 426 else b"close"),
            ]
            self._http.send_response(Response(refusal.status, headers))
            self._http.send_data(refusal.body)
            self._http.end_message(now=now)

    def unreachable(self, reason: str) -> Refusal:
        """Say that no connection can be had."""
        return self._gateway_refusal(502, reason)

    def too_slow(self) -> Refusal:
        """Say that the time is over."""
        what = "no connection" if self._opening is None else "no answer to the upgrade"
        return self._gateway_refusal(504, f"{what} within the time allowed")

    def shutting_down(self) -> Refusal:
        """Say that the gateway ends."""
        return _own(503, ErrorCode.SHUTTING_DOWN, "The gateway is shutting down")

    def broken(self) -> Refusal:
        """Say that the gateway failed."""
        return _own(500, ErrorCode.PROVIDER_FAILED, "internal error")

    def _gateway_refusal(self, status: int, reason: str) -> Refusal:
        words = "No answer in time" if status == 504 else "Failed to get response from provider"
        return _own(status, ErrorCode.PROVIDER_FAILED, f"{words}: {self._upgrade.provider}: {reason}")

    def _for_the_client(self, headers: Headers) -> Headers:
        """Return the provider's header fields without those that are about its own connection or host."""
        listed = {
            item.strip().lower()
            for name, value in headers
            if name.lower() == b"connection"
            for item in value.split(b",")
        }
        return [
            (name, self._without_keys(value))
            for name, value in headers
            if (lower := name.lower()) not in _HOP_BY_HOP
            and lower not in _OF_THE_HOST
            and lower not in listed
            and not lower.startswith((b"sec-websocket-", b"cf-aig-"))
        ]

    def _without_keys(self, text: bytes) -> bytes:
        """Return a provider's words without the gateway's keys: it takes the client for their owner."""
        for secret in filter(None, self._upgrade.stored_secrets):
            text = text.replace(secret.encode(), b"[key]")
        return text


def _own(status: int, code: ErrorCode, message: str) -> Refusal:
    return Refusal(status, [(b"content-type", b"application/json")], gateway_error(status, code, message), message)
