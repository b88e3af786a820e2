"""The opening handshake over HTTP/1.1 as a machine of its own, both roles, for programs that embed a WebSocket.

It joins `H1Connection` (bytes to heads) with the rules of `_handshake` and ends where the WebSocket begins: with
`Signal.SWITCHED`, after which `connection()` makes the `WSConnection` and feeds it what came behind the head. An
engine that answers plain HTTP requests on the same port uses the two parts itself.

    server  head awaited -> UpgradeOffer -> (accept) switched, or (reject) over
                         -> UpgradeRefused, Failed, StreamEnded: over, the answer is queued
    client  answer awaited -> UpgradeAccepted -> switched
                           -> UpgradeRefused, Failed: over
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .._errors import LocalProtocolError
from .._kinds import Role, Signal
from .._limits import HttpLimits, WebSocketLimits
from ..http._events import (
    BodyPiece,
    EndOfMessage,
    Failed,
    Headers,
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from ..http._h1 import H1Connection
from ._connection import WSConnection
from ._events import Delivery
from ._handshake import (
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    accept_upgrade,
    check_response,
    check_upgrade,
    upgrade_request,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._entropy import Entropy
    from ._negotiation import DeflatePolicy

__all__ = ["Opening", "OpeningEvent"]

OpeningEvent: TypeAlias = UpgradeOffer | UpgradeAccepted | UpgradeRefused | Failed | StreamEnded

_MAX_REFUSAL_BODY_BYTES = 64 * 1024  # an error text; the rest of a longer body is of no use to anybody


class Opening:
    """One opening handshake; a `Machine[OpeningEvent]`. Make it with `Opening.server()` or `Opening.client()`.

    After every event but `UpgradeOffer` and `UpgradeAccepted` it is over: flush `data_to_send()` and close the stream.
    """

    __slots__ = (
        "_accepted",
        "_body",
        "_body_bytes",
        "_client",
        "_deadline",
        "_failure",
        "_http",
        "_offer",
        "_over",
        "_refused",
        "_role",
    )

    def __init__(self, role: Role, http: H1Connection) -> None:
        """Use `Opening.server()` or `Opening.client()`."""
        self._role = role
        self._http = http
        self._offer: UpgradeOffer | None = None
        self._accepted: UpgradeAccepted | None = None
        self._refused: UpgradeRefused | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._client: tuple[bytes, tuple[str, ...], DeflatePolicy | None] | None = None
        self._deadline: float | None = None
        self._failure: Failed | None = None
        self._over = False

    @classmethod
    def server(cls, *, now: float, limits: HttpLimits = HttpLimits()) -> Opening:  # noqa: B008 - never changed
        """Await an upgrade request on a stream accepted at `now` (monotonic seconds)."""
        return cls(Role.SERVER, H1Connection(Role.SERVER, now=now, limits=limits))

    @classmethod
    def client(
        cls,
        *,
        now: float,
        host: bytes,
        target: bytes,
        key: bytes,
        subprotocols: Sequence[str] = (),
        deflate: DeflatePolicy | None = None,
        headers: Headers | None = None,
        limits: HttpLimits = HttpLimits(),  # noqa: B008 - never changed
    ) -> Opening:
        """Queue an upgrade request on a stream opened at `now`; make `key` with `new_key()`.

        The answer is awaited for `limits.head_timeout_seconds`. Raises LocalProtocolError as `upgrade_request()` does.
        """
        request = upgrade_request(
            host=host, target=target, key=key, subprotocols=subprotocols, deflate=deflate, headers=headers
        )
        opening = cls(Role.CLIENT, H1Connection(Role.CLIENT, now=now, limits=limits))
        opening._http.send_request(request)
        opening._http.end_message()
        opening._client = (key, tuple(subprotocols), deflate)
        opening._deadline = now + limits.head_timeout_seconds
        return opening

    # --- the machine ------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the peer. Ignored when the handshake is over."""
        if not self._over:
            self._http.receive_data(data, now)

    def receive_eof(self, now: float) -> None:
        """Note that the peer will send no more bytes."""
        self._http.receive_eof(now)

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller."""
        return self._http.data_to_send()

    def next_timeout(self) -> float | None:
        """Return the deadline of the handshake in monotonic seconds, or None."""
        return self._deadline if self._role is Role.CLIENT else self._http.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._http.handle_timeout(now)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._failure = Failed(408, "the server did not answer the handshake in time")

    def next_event(self) -> OpeningEvent | Signal:
        """Return the next event; `BLOCKED` while an offer waits for `accept()` or `reject()`."""
        while not self._over:
            if self._failure is not None:
                return self._end(self._failure) if self._refused is None else self._refuse()
            event = self._http.next_event()
            if isinstance(event, Signal):
                return event
            outcome = self._take_request(event) if self._role is Role.SERVER else self._take_answer(event)
            if outcome is not None:
                return outcome
        return Signal.NEED_DATA

    # --- server -----------------------------------------------------------------------------------------------------

    def accept(
        self, *, subprotocol: str | None = None, deflate: DeflatePolicy | None = None, headers: Headers | None = None
    ) -> UpgradeAccepted:
        """Answer the offer with a 101; the next event is `Signal.SWITCHED`. Raises as `accept_upgrade()` does."""
        response, accepted = accept_upgrade(
            self._waiting_offer(), subprotocol=subprotocol, deflate=deflate, headers=headers
        )
        self._http.send_switch(response)
        self._accepted = accepted
        return accepted

    def reject(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        """Answer the offer with a final status other than 101 and end the handshake. Raises LocalProtocolError."""
        self._waiting_offer()
        if status < 200:
            raise LocalProtocolError("a refusal needs a final status")
        self._answer(status, body, headers or [])
        self._over = True

    def _waiting_offer(self) -> UpgradeOffer:
        if self._offer is None or self._accepted is not None or self._over or not self._http.can_answer:
            raise LocalProtocolError("there is no offer to answer")
        return self._offer

    def _answer(self, status: int, body: bytes, headers: Headers) -> None:
        own: Headers = [(b"content-length", b"%d" % len(body))]
        if not any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers):
            own.append((b"connection", b"close"))
        self._http.send_response(Response(status, headers + own))
        self._http.send_data(body)
        self._http.end_message()

    def _take_request(self, event: HttpEvent) -> OpeningEvent | None:
        if isinstance(event, Request):
            checked = check_upgrade(event)
            if isinstance(checked, UpgradeOffer):
                self._offer = checked
                return checked
            self._answer(checked.status, _text(checked.reason) if event.method != b"HEAD" else b"", checked.headers)
            return self._end(checked)
        if isinstance(event, Failed):
            if self._http.can_answer and event.received_any:
                self._answer(event.status, _text(event.reason), [])
            return self._end(event)
        # What is left besides the end of an upgrade request, which has no body.
        return self._end(event) if isinstance(event, StreamEnded) else None

    # --- client -----------------------------------------------------------------------------------------------------

    def _take_answer(self, event: HttpEvent) -> OpeningEvent | None:
        if isinstance(event, InformationalResponse):
            return None
        if isinstance(event, Response):
            return self._take_response(event)
        if isinstance(event, BodyPiece):
            self._body.append(event.data[: _MAX_REFUSAL_BODY_BYTES - self._body_bytes])
            self._body_bytes += len(self._body[-1])
            return self._refuse() if self._body_bytes >= _MAX_REFUSAL_BODY_BYTES else None
        if isinstance(event, Failed) and self._refused is None:
            return self._end(event)
        # The body of a refusal is complete, or as complete as it will be.
        return self._refuse() if isinstance(event, EndOfMessage | Failed) else None

    def _take_response(self, response: Response) -> OpeningEvent | None:
        assert self._client is not None  # noqa: S101 - set by client()
        key, subprotocols, deflate = self._client
        checked = check_response(response, key=key, subprotocols=subprotocols, deflate=deflate)
        if isinstance(checked, UpgradeAccepted):
            self._accepted = checked
            self._deadline = None
            return checked
        if response.status == 101:
            return self._end(checked)
        self._refused = checked
        return None

    def _refuse(self) -> OpeningEvent:
        assert self._refused is not None  # noqa: S101 - the body of a refusal has ended
        refused = self._refused
        return self._end(UpgradeRefused(refused.status, refused.headers, refused.reason, b"".join(self._body)))

    def _end(self, event: OpeningEvent) -> OpeningEvent:
        self._over = True
        self._deadline = None
        return event

    # --- both -------------------------------------------------------------------------------------------------------

    def unconsumed(self) -> bytes:
        """Move out the bytes behind the handshake; only after `Signal.SWITCHED`. `connection()` does it itself."""
        return self._http.unconsumed()

    def connection(
        self,
        *,
        now: float,
        limits: WebSocketLimits = WebSocketLimits(),  # noqa: B008 - never changed
        entropy: Entropy | None = None,
        delivery: Delivery = Delivery.MESSAGES,
    ) -> WSConnection:
        """Return the WebSocket that was agreed on, fed with what came behind the handshake. Once, after SWITCHED.

        First send what `data_to_send()` holds. Raises LocalProtocolError earlier, and for a client without `entropy`.
        """
        if self._accepted is None:
            raise LocalProtocolError("no WebSocket was agreed on")
        connection = WSConnection(
            self._role, now=now, limits=limits, entropy=entropy, deflate=self._accepted.deflate, delivery=delivery
        )
        if rest := self._http.unconsumed():
            connection.receive_data(rest, now)
        return connection


def _text(reason: str) -> bytes:
    return reason.encode("utf-8", "backslashreplace") + b"\n"
