"""TLS contexts for links to providers: always verified, made once per policy."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aigw_proto._effects import TlsPolicy

__all__ = ["client_context"]


def client_context(policy: TlsPolicy, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Return the context for `policy`: certificate and host name checked, TLS 1.2 or later, `alpn` offered.

    Contexts are kept, so a change of the certificate files is seen after a restart only. Raises OSError (of which
    ssl.SSLError is one) when `policy.ca_file` cannot be read or holds no certificate.
    """
    return _context(policy.ca_file, alpn)


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
