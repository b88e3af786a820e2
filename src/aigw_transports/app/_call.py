"""`aigw call`: one request to a gateway, its frames on standard output as they come, complaints on standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aigw_proto._errors import AigwError
from aigw_proto._inputs import ConnectFailure
from aigw_proto.envelopes import is_json

from .._anyio_client import connect
from .._client_errors import ConnectionFailed, GatewayError, HandshakeRefused, RequestRejected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

__all__ = ["DEFAULT_URL", "call"]

DEFAULT_URL = "ws://127.0.0.1:8787/v1/local/default"
"""Where `aigw serve` listens when it is told nothing."""


async def call(
    provider: str,
    endpoint: str,
    query: str | bytes,
    *,
    url: str = DEFAULT_URL,
    stream: bool = False,
    token: str | None = None,
    headers: Sequence[str] = (),
    timeout: float | None = None,  # noqa: ASYNC109 - kept by the client engine, which cancels at the gateway
    out: TextIO,
    err: TextIO,
) -> int:
    """Send one request; return the exit status: 0 for an answer, 1 for an error, 2 for an argument that is wrong.

    `query` is the JSON body, sent as it is; with `stream`, `"stream":true` is put in front of an object that does not
    say it itself. `headers` are `NAME: VALUE` texts for the provider. Frames go to `out`, a line each, and are
    flushed one by one, so that they can be read by another program as they come; complaints go to `err`.
    """

    def show(frame: str) -> None:
        out.write(frame + "\n")
        out.flush()

    try:
        fields = dict(map(_split_header, headers))
        body = _with_stream(_as_bytes(query)) if stream else _as_bytes(query)
        async with (
            connect(url, token=token, on_frame=show) as gateway,
            gateway.stream(provider, endpoint, body, headers=fields, timeout=timeout) as answer,
        ):
            async for _ in answer:
                pass
    except GatewayError as error:
        err.write(_complaint(error))
        return 1
    except (ValueError, AigwError) as error:
        err.write(f"aigw call: {error}\n")
        return 2
    return 0


def _complaint(error: GatewayError) -> str:
    line = f"aigw call: {error}\n"
    if isinstance(error, ConnectionFailed):
        line = f"aigw call: no connection to the gateway: {error}\n"
        if error.failure is ConnectFailure.REFUSED:
            line += 'aigw call: is it running? "aigw serve" starts one; --url says where it is\n'
    if isinstance(error, HandshakeRefused) and error.status == 401:
        line += "aigw call: give the gateway token with --token\n"
    if isinstance(error, RequestRejected) and error.status == 401 and type(error) is not RequestRejected:
        line += 'aigw call: give the provider\'s key with --header "Authorization: Bearer KEY"\n'
    return line


def _as_bytes(query: str | bytes) -> bytes:
    body = query.encode() if isinstance(query, str) else query
    if is_json(body):
        return body
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not valid JSON: {error}") from None
    raise ValueError("the body is not valid JSON")  # the standard library takes NaN, and what is not UTF-8


def _split_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"header {name!r}: expected NAME: VALUE")
    return name.strip(), value.strip()


def _with_stream(body: bytes) -> bytes:
    """Ask for a stream in the way most providers understand, leaving everything else as it was written."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return body  # the complaint about it comes later
    if not isinstance(value, dict) or "stream" in value:
        return body
    opening, brace, rest = body.partition(b"{")
    return opening + brace + b'"stream":true' + (b"," if value else b"") + rest
