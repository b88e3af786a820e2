"""Certificates for servers on loopback, of an authority that is made when it is needed."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING

import trustme

from aigw_transports._tls import BadTlsFile, server_context

if TYPE_CHECKING:
    from pathlib import Path


@functools.cache
def authority() -> trustme.CA:
    """Return the authority of all tests in this process."""
    return trustme.CA()


def write_files(folder: Path, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> tuple[str, str]:
    """Write the certificate chain and the key of a server on loopback; return their names."""
    issued = authority().create_child_ca().issue_cert("127.0.0.1", "localhost", key_type=key_type)
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    return str(certificate), str(key)


def server(folder: Path, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> ssl.SSLContext:
    """Return the gateway's own context for a server on loopback."""
    context = server_context(*write_files(folder, key_type))
    assert not isinstance(context, BadTlsFile), context.message
    return context


def client() -> ssl.SSLContext:
    """Return a context that trusts the authority."""
    return ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())
