"""What the API layer asks of the client engines, beside the inputs that every engine takes."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from .._inputs import Input
from .._kinds import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._effects import TlsPolicy
    from ..envelopes import Step
    from ..ws import DeflatePolicy
    from ._url import GatewayUrl

__all__ = [
    "CONNECTION_TICKET",
    "CancelRequest",
    "ClientInput",
    "CloseConnection",
    "Consumed",
    "CreateRequest",
    "OpenConnection",
    "RealtimeInput",
    "SendMessage",
    "TokenForm",
]

CONNECTION_TICKET = 0
"""The ticket of everything that concerns the connection itself; requests have tickets from 1 on."""


class TokenForm(enum.Enum):
    """How the gateway token travels in the opening handshake."""

    HEADER = "cf-aig-authorization: Bearer TOKEN, for everything that can send headers"
    SUBPROTOCOL = "Sec-WebSocket-Protocol: cf-aig-authorization.TOKEN, as browsers must"


@record
class OpenConnection:
    """Connect to a gateway. Once per engine, before anything else.

    Answered on `CONNECTION_TICKET` by one of `Opened`, `OpenRefused`, `OpenFailed`. `tls` is used for `wss://` only;
    None means the system's roots. `headers` are added to the upgrade request; `cf-aig-*` headers there are defaults
    for every request of the connection. `deflate` None offers no compression: frames of a few hundred bytes gain
    nothing from it, and it costs memory on both sides.
    """

    url: GatewayUrl
    token: str | None = None
    token_form: TokenForm = TokenForm.HEADER
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    deflate: DeflatePolicy | None = None
    tls: TlsPolicy | None = None


@record
class CreateRequest:
    """Send `universal.create`. `ticket` is above all tickets before it; several `steps` are fallbacks in order.

    `event_id` None lets the engine make one. `timeout_seconds` covers the whole answer, to the last chunk of a stream.
    Not before `Opened`; after the connection's end it is answered by `ConnectionLost`.
    """

    ticket: int
    steps: tuple[Step, ...]
    event_id: str | None = None
    timeout_seconds: float | None = None


@record
class SendMessage:
    """Send one message of a realtime session; `payload` of a text is UTF-8.

    Not before `Opened`; after the connection's end it is dropped, and so it is once the peer has said Close.
    """

    payload: bytes
    binary: bool


@record
class CancelRequest:
    """Withdraw a request: `universal.cancel` is sent and nothing is delivered for the ticket any more.

    For a ticket that is already answered it only says that its items will not be consumed.
    """

    ticket: int


@record
class Consumed:
    """The program has taken delivered items: for each ticket the sum of their `held_bytes`.

    The messages of a realtime session count on `CONNECTION_TICKET`.

    May be reported in batches while reading goes on; at once after `ReadingPaused(True)`. What a cancelled ticket still
    held needs no report.
    """

    sizes: Mapping[int, int]


@record
class CloseConnection:
    """Close with this code (RFC 6455 section 7.1.2); requests under way get `ConnectionLost` now.

    The effect `Drained` follows when the closing handshake is over or its deadline has passed.
    """

    code: int = 1000
    reason: str = ""


ClientInput: TypeAlias = Input | OpenConnection | CreateRequest | CancelRequest | Consumed | CloseConnection
RealtimeInput: TypeAlias = Input | OpenConnection | SendMessage | Consumed | CloseConnection
