"""TLS contexts: for links to providers, always verified and made once per policy, and for clients to connect to."""

from __future__ import annotations

import functools
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from aigw_proto._kinds import record

if TYPE_CHECKING:
    from aigw_proto._effects import TlsPolicy

__all__ = ["BadTlsFile", "client_context", "server_context"]

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_MAX_FILE_BYTES = 1024 * 1024  # a chain and a key have some KiB; more means that the path is wrong


@record
class BadTlsFile:
    """Why a server cannot use its certificate, or, when `is_key`, its private key. The message names the file."""

    is_key: bool
    message: str


class _PasswordWantedError(Exception):
    """The private key is encrypted."""


def client_context(policy: TlsPolicy, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Return the context for `policy`: certificate and host name checked, TLS 1.2 or later, `alpn` offered.

    Contexts are kept, so a change of the certificate files is seen after a restart only. Raises OSError (of which
    ssl.SSLError is one) when `policy.ca_file` cannot be read or holds no certificate.
    """
    return _context(policy.ca_file, alpn)


def server_context(certificate: str, key: str) -> ssl.SSLContext | BadTlsFile:
    """Return a context to accept links with: TLS 1.2 or later, HTTP/1.1 by ALPN.

    `certificate` names a PEM file with the server's certificate and those that lead from it to a root, `key` one with
    its private key, without a password: nobody is there to type it when a service starts.
    """
    for file, is_key in ((certificate, False), (key, True)):
        problem = _look_into(file, is_key=is_key)
        if problem is not None:
            return BadTlsFile(is_key, problem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client's stream may end without close_notify, for not all of them send one, and what they send tells by itself
    # whether it is whole, be it a request or a WebSocket message.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # Tickets for resumption would arrive while the client sends its request. Clients that read in one thread and write
    # in another, as Python's do before 3.13, may then wait for ever; WebSockets are not opened often enough to resume.
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _PasswordWantedError:
        return BadTlsFile(is_key=True, message=f"expected a private key without a password; the one in {key} has one")
    except (OSError, ValueError) as error:
        return _explain(error, certificate, key)
    return context


@functools.lru_cache(maxsize=256)  # one per provider at most; reading the system's roots takes ten milliseconds
def _context(ca_file: str | None, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python sets the first by default, which would make a cut stream look like an orderly end. The second keeps the
    # two directions of a stream independent: with renegotiation a write may have to wait for a read.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.options |= ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _refuse_password() -> str:
    """Stand in for the terminal, on which OpenSSL would ask."""
    raise _PasswordWantedError


def _look_into(file: str, *, is_key: bool) -> str | None:
    """Say what is wrong with a file at first sight: OpenSSL does not name the one that it cannot use."""
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    if len(content) > _MAX_FILE_BYTES:
        return f"{file} has more than {_MAX_FILE_BYTES} bytes"
    if not (_KEY if is_key else _CERTIFICATE).search(content):
        return f"expected a PEM file with {'a private key' if is_key else 'certificates'}; {file} is none"
    return None


def _explain(error: OSError | ValueError, certificate: str, key: str) -> BadTlsFile:
    reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
    if reason in _MISMATCHES:
        return BadTlsFile(is_key=True, message=f"{key} is not the key of the first certificate in {certificate}")
    if reason:  # such as a key that is too short for the security level of OpenSSL
        return BadTlsFile(is_key=False, message=f"{certificate} cannot be used: {reason.replace('_', ' ').lower()}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate)
    except OSError:
        return BadTlsFile(is_key=False, message=f"a certificate in {certificate} is damaged")
    return BadTlsFile(is_key=True, message=f"the private key in {key} is damaged")
