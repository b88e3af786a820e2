"""What the clients make of the arguments of a program, and of the end of a session; the same for all drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw_proto import client as core
from aigw_proto._errors import CloseCode, LocalProtocolError
from aigw_proto.envelopes import Step as WireStep
from aigw_proto.envelopes import StepSettings

from ._client_replies import Step, encode_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aigw_proto._effects import TlsPolicy
    from aigw_proto.ws import DeflatePolicy

    from ._client_errors import ConnectionLost

__all__ = ["ended_in_order", "message_to_send", "open_request", "wire_steps"]

_NO_SETTINGS = StepSettings()
_GOOD_ENDS = frozenset((CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RECEIVED))


def open_request(
    url: str,
    *,
    token: str | None,
    token_form: core.TokenForm,
    headers: Mapping[str, str] | None,
    subprotocols: Sequence[str],
    compression: DeflatePolicy | None,
    tls: TlsPolicy | None,
) -> core.OpenConnection:
    """Return what opens a connection. Raises ValueError for a bad URL, LocalProtocolError for bad fields."""
    if isinstance(subprotocols, str):
        raise TypeError("subprotocols: expected a list of names, got one str")
    location = core.parse_url(url)
    if isinstance(location, str):
        raise ValueError(f"url: {location}")  # noqa: TRY004 - a string here is the complaint
    request = core.OpenConnection(
        location, token, token_form, tuple((headers or {}).items()), tuple(subprotocols), compression, tls
    )
    core.check_open(request)
    return request


def wire_steps(steps: Sequence[Step]) -> tuple[WireStep, ...]:
    """Return steps as the engine takes them. Raises ValueError and TypeError for what cannot be a query."""
    if not steps:
        raise ValueError("steps: expected at least one")
    return tuple(
        WireStep(
            step.provider,
            step.endpoint,
            tuple((step.headers or {}).items()),
            encode_query(step.query),
            step.settings or _NO_SETTINGS,
        )
        for step in steps
    )


def message_to_send(message: str | bytes | bytearray | memoryview) -> core.SendMessage:
    """Return a message of a realtime session: a `str` is text, bytes are binary.

    Raises LocalProtocolError for text that has no UTF-8 form, TypeError for anything else.
    """
    if isinstance(message, bytes | bytearray | memoryview):
        return core.SendMessage(bytes(message), binary=True)
    if not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance] - programs may have no types
        raise TypeError(f"message: expected str or bytes, got {type(message).__name__}")
    try:
        return core.SendMessage(message.encode(), binary=False)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"message: text has no UTF-8 form: {error.reason}") from None


def ended_in_order(lost: ConnectionLost) -> bool:
    """Say whether a session ended by this program, or by the other side with 1000, 1001 or without a code."""
    return lost.closed_by is core.ClosedBy.PROGRAM or lost.code in _GOOD_ENDS
