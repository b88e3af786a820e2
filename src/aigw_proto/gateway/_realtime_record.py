"""The realtime part of the log: a record for each turn as it ends, and one for each session when it ends."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from .._kinds import record

__all__ = ["ClosedBy", "SessionRecord", "TurnRecord"]


class ClosedBy(enum.Enum):
    """Who ended a session, or kept it from beginning."""

    CLIENT = "client"
    PROVIDER = "provider"
    GATEWAY = "gateway"


@record
class TurnRecord:
    """One turn of a realtime session. Times are seconds; bytes are payload, counted since the turn before.

    `session_id` is the `log_id` of the session's record; `turn` counts from 1. `event` is the provider's event that
    ended the turn. `status` is the provider's own word for how, None when it has none; `unfinished` when the session
    ended within the turn. `response_id` is the provider's id of the response, or of the request or conversation where
    responses have none. `tokens` holds what the provider counted, by kind (`input`, `input_audio`, `output_text`, ...),
    and is empty where it counts none. `audio_seconds` is what the provider says it has heard or produced, when it says
    so. `duration_seconds` runs from the first message of the client after the turn before; from the end of the turn
    before when there was none. `at_seconds` runs from the accepted upgrade to the end of the turn.
    """

    session_id: str
    turn: int
    account: str
    gateway: str
    peer: str
    provider: str
    model: str | None
    event: str
    status: str | None
    response_id: str | None
    tokens: Mapping[str, int]
    audio_seconds: float | None
    client_messages: int
    client_bytes: int
    provider_messages: int
    provider_bytes: int
    duration_seconds: float
    at_seconds: float


@record
class SessionRecord:
    """One realtime session, from the upgrade request to the end of both connections.

    `status` is the HTTP status that the client saw: 101, or that of the refusal. `path` is the provider's, without its
    query. `opening_seconds` runs until the client was answered. `client_close` and `provider_close` are the close codes
    that each side sent to the gateway (1005: none in its Close; 1006: no Close came), None when the session was never
    open, or when the gateway gave that side up over a broken rule; `sent_to_client` and `sent_to_provider` are those
    that the gateway sent. `tokens` sums the turns.
    """

    log_id: str
    account: str
    gateway: str
    peer: str
    provider: str
    path: str
    model: str | None
    status: int
    subprotocol: str | None
    closed_by: ClosedBy
    client_close: int | None
    client_reason: str
    provider_close: int | None
    provider_reason: str
    sent_to_client: int | None
    sent_to_provider: int | None
    error: str | None
    turns: int
    tokens: Mapping[str, int]
    client_messages: int
    client_bytes: int
    provider_messages: int
    provider_bytes: int
    opening_seconds: float
    duration_seconds: float
