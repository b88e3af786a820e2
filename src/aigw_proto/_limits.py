"""Every bound of the project, each with the reason for its default.

Sizes are bytes, times are seconds. A limit that an operator may want to move is a configuration key of the same name.
"""

from __future__ import annotations

from typing import Final

from ._kinds import record

__all__ = ["UNLIMITED", "GatewayLimits", "HttpLimits", "SseLimits", "WebSocketLimits"]

KIB = 1024
MIB = 1024 * KIB
UNLIMITED: Final = (1 << 63) - 1
"""More than can be counted. Whatever is set beyond it means the same, since compiled code counts with 64 bits."""


@record
class WebSocketLimits:
    """Bounds of one WebSocket connection (`aigw_proto.ws`)."""

    max_frame_bytes: int = UNLIMITED
    """Payload of one frame. Frames are delivered piecewise, so the RFC 6455 maximum costs no memory."""
    max_message_bytes: int = 64 * MIB
    """One assembled message, after inflation: the largest appends of the realtime APIs are 15 MiB in base64."""
    max_fragments: int = 1 << 20
    """Frames of one message: legal messages of many tiny fragments exist, endless empty ones are an attack."""
    max_pending_control_bytes: int = 64 * KIB
    """Pongs and Close waiting to be taken: beyond it only the newest ping is answered (RFC 6455 section 5.5.3)."""
    relayed_piece_bytes: int = 32 * KIB
    """Least part of an unfinished frame that is relayed as a fragment: peers bound the fragments of a message."""
    piece_bytes: int = 64 * KIB
    """Largest piece of a payload delivered in one event, and the step of inflation: bounds memory and a turn's work."""
    ping_interval_seconds: float | None = 30.0
    """Silence after which a ping is sent: below the 60 s after which proxies and NATs drop idle connections."""
    pong_timeout_seconds: float = 30.0
    """Silence after a ping that means a dead peer. Any byte counts as life: busy peers answer late."""
    close_timeout_seconds: float = 10.0
    """From our Close to the end of the stream: what `websockets` and browsers allow."""


@record
class HttpLimits:
    """Bounds of one HTTP/1.1 connection (`aigw_proto.http`)."""

    max_head_bytes: int = 64 * KIB
    """Request or status line with all headers: tokens and cookies of real clients stay below 16 KiB."""
    max_request_body_bytes: int = 64 * KIB
    """Body of a plain request to the gateway: nothing it serves over HTTP today takes one."""
    head_timeout_seconds: float = 10.0
    """From accepting a connection, or the end of the answer before, to a whole request head: stops slow-loris peers."""
    idle_timeout_seconds: float = 75.0
    """A kept-alive server connection without a request: what nginx allows."""


@record
class SseLimits:
    """Bounds of one server-sent event stream."""

    max_line_bytes: int = 16 * MIB
    """One line. Image and audio events carry several MiB of base64 in one `data:` line."""
    max_event_bytes: int = 16 * MIB
    """All `data` of one event."""


@record
class GatewayLimits:
    """Bounds of the gateway engine."""

    max_links: int = 65_536
    """Open client connections: beyond it new ones get 503."""
    max_in_flight: int = 256
    """Requests under way on one socket: beyond it a request is answered 429 in its envelope."""
    max_held_request_bytes: int = 64 * MIB
    """Request bodies held for one socket (for retries and fallback); one request is always admitted."""
    max_message_bytes: int = 32 * MIB
    """One client message: several images in base64 fit."""
    max_response_bytes: int = 32 * MIB
    """A provider's answer that is not a stream, or one event of a stream."""
    max_buffered_response_bytes: int = 64 * MIB
    """Answers being gathered for one socket: beyond it all but one of them wait, unread."""
    max_steps: int = 32
    """Fallback steps of one request."""
    max_event_id_bytes: int = 512
    """A client's `eventId` is repeated in every frame."""
    client_high_water_bytes: int = 256 * KIB
    """Unsent bytes on a client's link above which nothing more is pulled for it."""
    client_low_water_bytes: int = 64 * KIB
    """Unsent bytes below which pulling resumes."""
    client_reply_allowance_bytes: int = 1 * MIB
    """Unsent replies to the client's own messages (errors, pongs) beyond the high water before it is no longer read."""
    upstream_high_water_bytes: int = 256 * KIB
    """Received but not yet delivered bytes of one provider's answer above which its link is not read."""
    turn_bytes: int = 256 * KIB
    """Output produced in one turn before other links get theirs."""
    stuck_timeout_seconds: float = 60.0
    """A client link, or one of a realtime session, above high water without any progress is aborted."""
    realtime_high_water_bytes: int = 128 * KIB
    """Unsent bytes on one side of a realtime session above which the other is not read: what waits is late speech."""
    realtime_low_water_bytes: int = 32 * KIB
    """Unsent bytes below which it is read again."""
    realtime_open_timeout_seconds: float = 9.0
    """Connection and handshake with a realtime provider: clients give up after 10 s, and should see why."""
    realtime_idle_timeout_seconds: float | None = 3600.0
    """A realtime session without a message in either direction; pings are none. Providers end theirs sooner."""
    realtime_session_timeout_seconds: float | None = 86_400.0
    """A whole realtime session: longer ones are forgotten ones."""
    realtime_max_message_bytes: int = UNLIMITED
    """One relayed message. It costs no memory, so only an operator's policy bounds it."""
    max_observed_bytes: int = 256 * KIB
    """A relayed message that carries usage: the largest hold the whole transcript of a turn. Others are not kept."""
    connect_timeout_seconds: float = 10.0
    """Name lookup, TCP and TLS to a provider."""
    first_byte_timeout_seconds: float = 600.0
    """Request sent to response head, when the request names no timeout: reasoning models think for minutes."""
    upstream_idle_timeout_seconds: float = 300.0
    """Silence within a provider's answer."""
    pool_idle_timeout_seconds: float = 60.0
    """A kept-alive provider connection without a request: most providers close theirs after 60 s or later."""
    max_connections_per_origin: int = 4096
    """Connections to one provider; HTTP/1.1 carries one request each. Waiting requests are served in order."""
    max_idle_per_origin: int = 64
    """Idle connections kept per provider."""
    linger_timeout_seconds: float = 2.0
    """Discarding input after the last byte was sent, so that a peer still sending is not reset before it reads."""
    max_attempts: int = 5
    """Tries of one step, as the documented API allows."""
    max_retry_delay_seconds: float = 60.0
    """Base delay between tries, as the documented API allows."""
