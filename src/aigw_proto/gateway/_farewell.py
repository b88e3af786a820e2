"""The last words that a client hears when the gateway itself ends a session.

They are what the client's provider would say, in the provider's language, so that a program written against that
provider understands them. The WebSocket Close that follows says the rest.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .._errors import CloseCode
from ..providers import Dialect

__all__ = ["farewell"]

_ENCODER: Final = msgspec.json.Encoder()


def farewell(dialect: Dialect, *, code: int, reason: str) -> tuple[bool, bytes] | None:
    """Return the message to send before a Close with `code`, and whether it is text; None when there is none to say."""
    event = _event(dialect, code, reason)
    if event is None:
        return None
    # Google's messages are binary, whatever they hold
    return dialect is not Dialect.GEMINI_LIVE, _ENCODER.encode(event)


def _event(dialect: Dialect, code: int, reason: str) -> dict[str, object] | None:
    match dialect:
        case Dialect.OPENAI_REALTIME:
            error = {"type": _kind(code), "code": _word(code), "message": reason, "param": None, "event_id": None}
            return {"type": "error", "event_id": "event_gateway", "error": error}
        case Dialect.OPENAI_RESPONSES:
            error = {"type": _kind(code), "code": _word(code), "message": reason, "param": None}
            if code != CloseCode.GOING_AWAY:
                return {"type": "error", "status": _status(code), "error": error}
            # what OpenAI says itself when a connection has lasted long enough: clients open another one
            return {"type": "error", "status": 400, "error": error | {"code": "websocket_connection_limit_reached"}}
        case Dialect.GEMINI_LIVE:
            return {"goAway": {"timeLeft": "0s"}}
        case Dialect.CARTESIA:
            title = _word(code).replace("_", " ").capitalize()
            return {
                "type": "error",
                "done": True,
                "status_code": _status(code),
                "error_code": _word(code),
                "title": title,
                "message": reason,
                "error": f"{title}: {reason}",
            }
        case Dialect.DEEPGRAM:
            word = _word(code).upper()  # `variant` is of listen v1, `code` and `sequence_id` are of the others
            return {"type": "Error", "variant": word, "code": word, "sequence_id": 0, "description": reason}
        case Dialect.ELEVENLABS_SPEECH:
            return {"message_type": "error", "error": _word(code), "message": reason, "code": code}
        case Dialect.FAL:
            return {"type": "x-fal-error", "error": _word(code).upper(), "reason": reason}
        case Dialect.ELEVENLABS_AGENT:
            kind = "max_duration_exceeded" if code == CloseCode.GOING_AWAY else "unknown"
            return {"type": "error", "error_event": {"code": code, "error_type": kind, "message": reason}}
        case Dialect.UNKNOWN:
            return None


def _word(code: int) -> str:
    match code:
        case CloseCode.GOING_AWAY:
            return "session_expired"
        case CloseCode.MESSAGE_TOO_BIG:
            return "message_too_big"
        case _:
            return "internal_error"


def _kind(code: int) -> str:
    return "server_error" if _word(code) == "internal_error" else "invalid_request_error"


def _status(code: int) -> int:
    match code:
        case CloseCode.GOING_AWAY:
            return 503
        case CloseCode.MESSAGE_TOO_BIG:
            return 413
        case _:
            return 500
