"""Error codes of the gateway and the body that carries them.

The service that this protocol comes from numbers its errors from 2001; only those that have been seen are named here.
What it has no number for (a message that is not JSON, a field of the wrong type) gets one far outside its range, so
that a client can tell whose code it reads, and a code it gains later cannot collide.
"""

from __future__ import annotations

import enum

from ._text import text_literal

__all__ = ["ErrorCode", "gateway_error"]


class ErrorCode(enum.IntEnum):
    """Numbers in `error[].code` and `internalCode` of a gateway error body."""

    GATEWAY_NOT_FOUND = 2001
    """400: no gateway of that id."""
    RATE_LIMITED = 2003
    """429: too many requests, in a while or in flight."""
    PROVIDER_FAILED = 2005
    """502, or 504 in time, or 400 in strict mode: no answer from the provider."""
    INVALID_PROVIDER = 2008
    """400: missing or unknown provider."""
    UNAUTHORIZED = 2009
    """401: missing or wrong gateway token."""
    PROMPT_BLOCKED = 2016
    """424: guardrails refused the prompt."""
    RESPONSE_BLOCKED = 2017
    """424: guardrails refused the answer."""
    WHOLESALE_RATE_LIMITED = 2018
    """429: limit of requests billed through the gateway."""
    INSUFFICIENT_CREDITS = 2021
    """402: prepaid credits are used up."""
    REQUEST_BLOCKED_BY_DLP = 2029
    """400: data loss prevention refused the request."""
    RESPONSE_BLOCKED_BY_DLP = 2030
    """400: data loss prevention refused the answer."""
    UNKNOWN_KEY_ALIAS = 2040
    """400: no stored key of that alias."""
    SPEND_LIMIT_EXCEEDED = 2041
    """429: a spend limit is reached."""

    INVALID_JSON = 90001
    """400: the message is not one JSON object."""
    UNKNOWN_TYPE = 90002
    """400: `type` is missing or names no message of this protocol."""
    INVALID_FIELD = 90003
    """400: a field is missing, of the wrong type or out of range; the message names it.

    Before the upgrade, with any status: what is wrong with an HTTP request."""
    TOO_MANY_STEPS = 90004
    """400: more fallback steps than the gateway allows."""
    INVALID_ENDPOINT = 90005
    """400: `endpoint` cannot be joined to the provider's address."""
    UNKNOWN_EVENT = 90006
    """404: `universal.cancel` names no request under way."""
    PROVIDER_ANSWER_TOO_LARGE = 90011
    """502: the provider's answer does not fit."""
    SHUTTING_DOWN = 90012
    """503: the gateway takes no new requests, or has no room for another connection."""


def gateway_error(status: int, code: int, message: str) -> bytes:
    """Return the JSON body of a gateway error, as the current service writes it (`AiGatewayError`).

    `error` is an array, in the singular; the top-level `message` and `description` repeat its text.
    """
    text = text_literal(message)
    return (
        b'{"success":false,"result":[],"messages":[],"error":[{"code":%d,"message":%b}],"name":"AiGatewayError",'
        b'"httpCode":%d,"internalCode":%d,"message":%b,"description":%b}' % (code, text, status, code, text, text)
    )
