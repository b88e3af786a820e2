"""The messages of the universal API as records, for both ends of the socket.

A client sends `universal.create` (one request, as one step or as several fallback steps) and `universal.cancel`; the
gateway answers with `universal.created` (a whole answer, or the head of a stream when it has no `response`),
`universal.stream` (one chunk) and `universal.done` (the end of a stream). JSON that belongs to the client or to the
provider is held as the bytes in which it was written and never printed anew.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TypeAlias

from .._kinds import record

__all__ = [
    "Backoff",
    "ClientMessage",
    "CreatedFrame",
    "DoneFrame",
    "EnvelopeFault",
    "Metadata",
    "ServerMessage",
    "Step",
    "StepSettings",
    "StreamFrame",
    "UniversalCancel",
    "UniversalCreate",
]


class Backoff(enum.Enum):
    """How the delay between tries grows: d, d*n, d*2**(n-1) for the n-th retry."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@record
class StepSettings:
    """How the gateway carries a step out. None means: not said here, ask the next wider scope."""

    request_timeout_seconds: float | None = None
    """Until the first part of the answer."""
    max_attempts: int | None = None
    """Tries in all, 1 to 5."""
    retry_delay_seconds: float | None = None
    """Base delay between tries, at most 60."""
    backoff: Backoff | None = None
    key_alias: str | None = None
    """Which stored key of the provider to use."""
    collect_log: bool | None = None
    """Whether to write a log record."""


@record
class Step:
    """One HTTP request to one provider.

    `headers` have lower-case names, each once, and go to the provider: hop-by-hop fields and everything meant for the
    gateway are gone. Values hold no control characters and are ISO 8859-1 (see `encode_headers`). `query` is the
    body of the request, byte for byte as the client wrote it.
    """

    provider: str
    endpoint: str
    headers: tuple[tuple[str, str], ...]
    query: bytes
    settings: StepSettings = dataclasses.field(default_factory=StepSettings)


@record
class UniversalCreate:
    """Ask for an answer: the steps are tried in order. `event_id` None: the gateway makes one up."""

    event_id: str | None
    steps: tuple[Step, ...]


@record
class UniversalCancel:
    """Give up the request that was sent under this id."""

    event_id: str


@record
class EnvelopeFault:
    """What is wrong with a message, ready for an error frame.

    `message` begins with the path of the field. `event_id` is the client's, whenever the message has a usable one.
    """

    status: int
    code: int
    message: str
    event_id: str | None = None


ClientMessage: TypeAlias = UniversalCreate | UniversalCancel


@record
class Metadata:
    """What the gateway says about an answer. The first five are the documented ones; the others are extensions.

    On receipt everything may be missing: the documented service sends errors with a content type alone.
    """

    event_id: str | None
    log_id: str | None
    step: int | None
    """Index of the step that answered; a decimal string on the wire."""
    content_type: str | None
    cache_status: str | None = "MISS"
    status: int | None = None
    """HTTP status of the answer."""
    error: str | None = None
    """Why a stream ended early."""
    cancelled: bool = False
    """The request was ended by `universal.cancel`."""
    encoding: str | None = None
    """`base64` when `response` is a string that stands for bytes."""


@record
class CreatedFrame:
    """The whole answer, or with `response` None the head of a stream. `response` is JSON text."""

    metadata: Metadata
    response: bytes | None


@record
class StreamFrame:
    """One chunk of a stream. `response` is JSON text; `event` is the name that the provider gave its event, if any."""

    event_id: str | None
    response: bytes | None
    event: str | None = None


@record
class DoneFrame:
    """The stream is over."""

    metadata: Metadata


ServerMessage: TypeAlias = CreatedFrame | StreamFrame | DoneFrame
