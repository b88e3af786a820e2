from __future__ import annotations

import errno
import ssl

import pytest

from aigw_transports._accepting import address_pair, handshake_error, is_passing, readable_address


def test_what_accept_says_of_the_moment_and_of_the_listener() -> None:
    assert is_passing(OSError(errno.EMFILE, ""))
    assert is_passing(OSError(errno.ECONNABORTED, ""))
    assert not is_passing(OSError(errno.EBADF, ""))
    assert not is_passing(OSError())


@pytest.mark.parametrize(
    ("address", "name"),
    [(("127.0.0.1", 80), "127.0.0.1:80"), (("::1", 80), "[::1]:80"), ("", "local"), ("/run/socket", "/run/socket")],
)
def test_peers_have_readable_names(address: tuple[str, int] | str, name: str) -> None:
    assert readable_address(address) == name


def test_host_and_port_of_any_address() -> None:
    assert address_pair(("127.0.0.1", 80)) == ("127.0.0.1", 80)
    assert address_pair(("::1", 80, 0, 0)) == ("::1", 80)
    assert address_pair("/run/socket") == ("/run/socket", 0)


def test_why_a_handshake_failed() -> None:
    assert handshake_error(None) == "the client closed the connection"
    assert handshake_error(ssl.SSLEOFError(8, "EOF")) == "the client closed the connection"
    assert handshake_error(ConnectionResetError(errno.ECONNRESET, "")) == "Connection reset by peer"
    assert handshake_error(TimeoutError("timed out")) == "timed out"
    error = ssl.SSLError(1, "Something new")
    error.reason = "WRONG_VERSION_NUMBER"
    assert handshake_error(error) == "wrong version number"
    error.reason = ""
    assert "something new" in handshake_error(error)
