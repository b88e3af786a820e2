from __future__ import annotations

import errno
import os
import socket
import ssl

import anyio
import pytest

from aigw_proto._effects import Connect
from aigw_proto._inputs import ConnectFailure
from aigw_proto._kinds import LinkId
from aigw_transports._connect_errors import not_opened, not_secured

EFFECT = Connect(LinkId(1), "host", 80)


def summed_up(*errors: OSError) -> OSError:
    """What anyio raises when all addresses of a name fail."""
    error = OSError("All connection attempts failed")
    error.__cause__ = errors[0] if len(errors) == 1 else ExceptionGroup("multiple connection attempts failed", errors)
    return error


def system(number: int) -> OSError:
    return OSError(number, errno.errorcode[number])


@pytest.mark.parametrize(
    ("error", "failure", "detail"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            ConnectFailure.NAME,
            "Name or service not known",
        ),
        (UnicodeError("label too long"), ConnectFailure.NAME, "label too long"),
        (summed_up(system(errno.ECONNREFUSED)), ConnectFailure.REFUSED, os.strerror(errno.ECONNREFUSED)),
        (
            summed_up(system(errno.ENETUNREACH), system(errno.ECONNREFUSED)),
            ConnectFailure.REFUSED,
            f"{os.strerror(errno.ENETUNREACH)}; {os.strerror(errno.ECONNREFUSED)}",
        ),
        (
            summed_up(system(errno.ENETUNREACH), system(errno.ETIMEDOUT)),
            ConnectFailure.UNREACHABLE,
            os.strerror(errno.ETIMEDOUT),
        ),
        (
            summed_up(system(errno.EHOSTUNREACH), system(errno.EHOSTUNREACH)),
            ConnectFailure.UNREACHABLE,
            f"host:80: {os.strerror(errno.EHOSTUNREACH)}",  # said once
        ),
        (system(errno.EMFILE), ConnectFailure.OTHER, os.strerror(errno.EMFILE)),
        (OSError(), ConnectFailure.OTHER, "OSError()"),
        (ValueError("embedded null byte"), ConnectFailure.OTHER, "embedded null byte"),
        (OverflowError("port must be 0-65535"), ConnectFailure.OTHER, "port must be"),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: ConnectFailure, detail: str) -> None:
    failed = not_opened(EFFECT, error)
    assert failed.link == EFFECT.link
    assert failed.failure is failure
    assert failed.detail.startswith("host:80: ")
    assert detail in failed.detail


def test_an_error_without_a_number_is_its_cause() -> None:
    wrapper = anyio.BrokenResourceError()
    wrapper.__cause__ = system(errno.ECONNRESET)
    assert not_secured(EFFECT, wrapper).detail == f"host:80: {os.strerror(errno.ECONNRESET)}"


def test_failures_of_tls() -> None:
    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    untrusted.verify_message = "self-signed certificate"
    failed = not_secured(EFFECT, untrusted)
    assert (failed.failure, failed.detail) == (ConnectFailure.CERTIFICATE, "host:80: self-signed certificate")
    failed = not_secured(EFFECT, ssl.SSLError(1, "no shared cipher"))
    assert failed.failure is ConnectFailure.TLS
    assert "no shared cipher" in failed.detail
