"""Telling errors from answers.

Errors have no frame type of their own: they come as `universal.created` with the error body as `response`. A gateway in
extended mode says so in `metadata.status`. The hosted service and strict gateways say nothing, so the body has to be
recognised: the gateway's own envelope in its two generations, the Cloudflare REST envelope, and the error objects that
providers agree on. The rules are narrow on purpose: an answer taken for an error would be lost, while an error taken
for an answer is still in the caller's hands.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import msgspec

from .._kinds import record

__all__ = ["Failure", "read_failure", "recognise_failure"]

_Object: TypeAlias = dict[str, object]
_MOST_MESSAGE_CHARACTERS = 500
_RECOGNISABLE_BYTES = 64 * 1024  # error bodies are small; decoding megabytes of answer to look for one is waste
_ERROR_OBJECT_KEYS = {"error", "type", "request_id", "status", "user_id"}


@record
class Failure:
    """What an error body says."""

    status: int | None
    code: int | str | None
    message: str
    by_gateway: bool


def read_failure(status: int | None, response: bytes) -> Failure:
    """Read a body that is known to be an error; `message` falls back to the status or the start of the body."""
    found = _describe(_decode(response))
    if found is None:
        text = response.decode(errors="replace")
        message = text.strip('"') if 0 < len(text) <= _MOST_MESSAGE_CHARACTERS else f"HTTP status {status}"
        found = Failure(status, None, message, by_gateway=False)
    if status is None:
        return found
    return Failure(status, found.code, found.message, found.by_gateway)


def recognise_failure(response: bytes) -> Failure | None:
    """Return what the body says if it is an error without doubt; for frames that carry no status."""
    if b'"error' not in response or len(response) > _RECOGNISABLE_BYTES:
        return None
    body = _decode(response)
    if isinstance(body, list):
        items = cast("list[object]", body)
        body = items[0] if len(items) == 1 else None
    if not isinstance(body, dict):
        return None
    fields = cast("_Object", body)
    surely = (
        fields.get("success") is False
        or fields.get("name") == "AiGatewayError"
        or (fields.keys() <= _ERROR_OBJECT_KEYS and isinstance(fields.get("error"), dict))
    )
    return _describe(fields) if surely else None


def _decode(response: bytes) -> object:
    try:
        return cast("object", msgspec.json.decode(response))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _describe(body: object) -> Failure | None:
    body = _first(body)
    if not isinstance(body, dict):
        return None
    fields = cast("_Object", body)
    inner = _first(fields.get("error") or fields.get("errors"))
    text = _text(inner)
    details = cast("_Object", inner) if isinstance(inner, dict) else fields
    message = text or _text(details.get("message")) or _text(fields.get("message")) or _text(fields.get("detail"))
    if message is None:
        return None
    # The gateway's own envelope has `error` as a list beside `success`; REST has `errors`, policies an object.
    by_gateway = fields.get("name") == "AiGatewayError" or (fields.get("success") is False and "error" in fields)
    code = _code(fields.get("internalCode")) or _code(details.get("code")) or _code(details.get("type"))
    status = fields.get("httpCode")
    return Failure(status if isinstance(status, int) else None, code, message, by_gateway)


def _first(value: object) -> object:
    """Return the first item of a list, anything else as it is: errors come as one or as a list of one."""
    if not isinstance(value, list):
        return value
    items = cast("list[object]", value)
    return items[0] if items else None


def _text(value: object) -> str | None:
    return value[:_MOST_MESSAGE_CHARACTERS] if isinstance(value, str) and value else None


def _code(value: object) -> int | str | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
