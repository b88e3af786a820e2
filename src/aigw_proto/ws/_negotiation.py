"""permessage-deflate as a matter of words: offers, answers, and the header grammar they are written in.

The grammar (RFC 6455 section 9.1) is a list of extensions with parameters whose values are tokens or quoted strings;
quoted strings may hold the separators. Everything that does not match it, every unknown, repeated or valueless
parameter and every number that is not written as the RFC writes it makes one offer unacceptable, and only that offer:
the next one in the list is looked at, and without a good one the connection goes on uncompressed (RFC 7692
section 5.1). A client has less patience with an answer: one fault there and the handshake failed.

wsproto's `PerMessageDeflate` does the same job, but raises on bad numbers, passes what it does not know, answers the
window that was asked for even above its own, and cannot do 8 bits; so it is the oracle of the tests, not the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._errors import LocalProtocolError
from .._kinds import record
from ._deflate import DeflateParameters

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DeflatePolicy", "answer_offers", "check_answer", "is_token", "offer", "split_extensions"]

NAME = "permessage-deflate"

_WORD = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(_WORD)
_ESCAPES_AND_MARKS = re.compile(r'\\.|["\\,;]', re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(rf"({_WORD})(?:[ \t]*=[ \t]*(?:({_WORD})|({_QUOTED})))?", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WINDOW_BITS = re.compile(r"[89]|1[0-5]")
_MAX_BITS = 15
_MIN_BITS = 8

_SERVER_FRESH = "server_no_context_takeover"
_CLIENT_FRESH = "client_no_context_takeover"
_SERVER_BITS = "server_max_window_bits"
_CLIENT_BITS = "client_max_window_bits"
_FLAGS = {_SERVER_FRESH, _CLIENT_FRESH}
_NUMBERS = {_SERVER_BITS, _CLIENT_BITS}


@record
class DeflatePolicy:
    """What we offer as a client, and accept at most as a server.

    The window bits (8 to 15) bound the memory of each direction; a peer that cannot stay below them gets no
    compression. The flags ask for a fresh window for each message, which costs ratio and saves memory between messages.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = _MAX_BITS
    client_max_window_bits: int = _MAX_BITS


_Parameters = dict[str, str | None]


def is_token(text: str) -> bool:
    """Whether a text is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def split_extensions(values: Iterable[bytes]) -> list[str]:
    """Split header values at the commas outside of quoted strings; empty items are left out. Never raises."""
    return [item for value in values for item in _split(value.decode("latin-1"), ",") if item]


def _split(text: str, separator: str) -> list[str]:
    pieces: list[str] = []
    start, quoted = 0, False
    for match in _ESCAPES_AND_MARKS.finditer(text):
        mark = match[0]
        if mark == '"':
            quoted = not quoted
        elif mark == separator and not quoted:
            pieces.append(text[start : match.start()])
            start = match.end()
    pieces.append(text[start:])
    return [piece.strip(" \t") for piece in pieces]


def _parse(text: str) -> tuple[str, _Parameters] | None:
    """Return the name and the parameters of one extension; None when it breaks the grammar or repeats a parameter."""
    name, *rest = _split(text, ";")
    if _TOKEN.fullmatch(name) is None:
        return None
    parameters: _Parameters = {}
    for item in rest:
        match = _PARAMETER.fullmatch(item)
        if match is None or match[1] in parameters:
            return None
        value: str | None = match[2]
        if match[3] is not None:
            value = _ESCAPE.sub(r"\1", match[3][1:-1])
        parameters[match[1]] = value
    return name, parameters


def _is_known(parameters: _Parameters) -> bool:
    """Whether each parameter is one of the four and has a value of the right form, or none where that is allowed."""
    for name, value in parameters.items():
        if name in _FLAGS:
            if value is not None:
                return False
        elif name not in _NUMBERS:
            return False
        elif value is None:
            if name != _CLIENT_BITS:
                return False
        elif _WINDOW_BITS.fullmatch(value) is None:
            return False
    return True


def _check_policy(policy: DeflatePolicy) -> None:
    for bits in (policy.server_max_window_bits, policy.client_max_window_bits):
        if not _MIN_BITS <= bits <= _MAX_BITS:
            raise LocalProtocolError(f"window bits are {_MIN_BITS} to {_MAX_BITS}, not {bits}")


def _write(parameters: list[str]) -> str:
    return "; ".join([NAME, *parameters])


def offer(policy: DeflatePolicy) -> str:
    """Return a client's offer (RFC 7692 section 7.1). Raises LocalProtocolError for impossible window bits.

    `client_max_window_bits` is always named, so that the server may limit what we use.
    """
    _check_policy(policy)
    parameters: list[str] = []
    if policy.server_no_context_takeover:
        parameters.append(_SERVER_FRESH)
    if policy.client_no_context_takeover:
        parameters.append(_CLIENT_FRESH)
    if policy.server_max_window_bits < _MAX_BITS:
        parameters.append(f"{_SERVER_BITS}={policy.server_max_window_bits}")
    client_bits = policy.client_max_window_bits
    parameters.append(_CLIENT_BITS if client_bits == _MAX_BITS else f"{_CLIENT_BITS}={client_bits}")
    return _write(parameters)


def answer_offers(offers: Iterable[str], policy: DeflatePolicy) -> tuple[str, DeflateParameters] | None:
    """Return a server's answer to the first offer it can keep, and what was agreed; None when there is none.

    Raises LocalProtocolError for impossible window bits in `policy`.
    """
    _check_policy(policy)
    for text in offers:
        parsed = _parse(text)
        if parsed is not None and parsed[0] == NAME and _is_known(parsed[1]):
            answer = _answer(parsed[1], policy)
            if answer is not None:
                return answer
    return None


def _answer(wanted: _Parameters, policy: DeflatePolicy) -> tuple[str, DeflateParameters] | None:
    answer: list[str] = []
    server_fresh = policy.server_no_context_takeover or _SERVER_FRESH in wanted
    if server_fresh:
        answer.append(_SERVER_FRESH)
    client_fresh = policy.client_no_context_takeover or _CLIENT_FRESH in wanted
    if client_fresh:
        answer.append(_CLIENT_FRESH)
    server_bits = min(policy.server_max_window_bits, int(wanted.get(_SERVER_BITS) or _MAX_BITS))
    if _SERVER_BITS in wanted or server_bits < _MAX_BITS:
        answer.append(f"{_SERVER_BITS}={server_bits}")
    client_bits = policy.client_max_window_bits
    if _CLIENT_BITS in wanted:
        client_bits = min(client_bits, int(wanted[_CLIENT_BITS] or _MAX_BITS))
        if wanted[_CLIENT_BITS] is not None or client_bits < _MAX_BITS:
            answer.append(f"{_CLIENT_BITS}={client_bits}")
    elif client_bits < _MAX_BITS:
        return None  # this client cannot be told to use a smaller window (section 7.1.2.2)
    return _write(answer), DeflateParameters(server_fresh, client_fresh, server_bits, client_bits)


def check_answer(answers: Iterable[str], policy: DeflatePolicy | None) -> DeflateParameters | str | None:
    """Check the extensions of a server's answer against `offer(policy)`; a text says what is wrong with them.

    None means that the server chose no extension. What a server may add unasked is `server_no_context_takeover`,
    `client_no_context_takeover` and `server_max_window_bits` (RFC 7692 sections 7.1.1 and 7.1.2).
    """
    agreed: DeflateParameters | None = None
    for text in answers:
        parsed = _parse(text)
        if parsed is None:
            return "the extensions are malformed"
        name, parameters = parsed
        if name != NAME or policy is None:
            return "an extension was chosen that was not offered"
        if agreed is not None:
            return "permessage-deflate was chosen twice"
        fault = _check_parameters(parameters, policy)
        if fault is not None:
            return fault
        agreed = DeflateParameters(
            _SERVER_FRESH in parameters,
            _CLIENT_FRESH in parameters or policy.client_no_context_takeover,
            int(parameters.get(_SERVER_BITS) or _MAX_BITS),
            int(parameters.get(_CLIENT_BITS) or policy.client_max_window_bits),
        )
    return agreed


def _check_parameters(parameters: _Parameters, policy: DeflatePolicy) -> str | None:
    if not _is_known(parameters):
        return "permessage-deflate was answered with a parameter that is unknown or malformed"
    if policy.server_no_context_takeover and _SERVER_FRESH not in parameters:
        return f"{_SERVER_FRESH} was offered but not accepted"
    if int(parameters.get(_SERVER_BITS) or _MAX_BITS) > policy.server_max_window_bits:
        return f"{_SERVER_BITS} is not as small as offered"
    if _CLIENT_BITS in parameters:
        value = parameters[_CLIENT_BITS]
        if value is None or int(value) > policy.client_max_window_bits:
            return f"{_CLIENT_BITS} is not as small as offered"
    return None
