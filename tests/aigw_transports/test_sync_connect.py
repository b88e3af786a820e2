from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from aigw_transports import _sync_connect
from aigw_transports._sync_connect import Address, Attempt, find_addresses
from support.threads import PATIENCE_SECONDS


@pytest.fixture(name="port")
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(name="closed_port")
def refusing_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused, and nobody else gets it
        yield taken.getsockname()[1]


@pytest.fixture(name="full_port")
def port_that_never_answers() -> Iterator[int]:
    """Listen with a queue that is full, so that nobody is answered."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def open_one_of(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> socket.socket:
    """Connect to a name that has these addresses."""

    def find(host: str, port: int) -> list[Address]:
        assert (host, port) == ("some.name", 443)
        return list(addresses)

    monkeypatch.setattr(_sync_connect, "find_addresses", find)
    with contextlib.closing(Attempt("some.name", 443)) as attempt:
        return attempt.open()


@pytest.mark.parametrize("failure", [None, socket.gaierror(socket.EAI_NONAME, "no such name")])
def test_a_lookup_that_ends_too_late(monkeypatch: pytest.MonkeyPatch, failure: Exception | None, port: int) -> None:
    def late(host: str, number: int) -> list[Address]:
        attempt.withdraw()
        assert attempt.looking_up
        if failure is not None:
            raise failure
        return find_addresses(host, number)

    attempt = Attempt("127.0.0.1", port)
    monkeypatch.setattr(_sync_connect, "find_addresses", late)
    with contextlib.closing(attempt), pytest.raises(OSError, match=r"connection abort|no such name"):
        attempt.open()
    assert not attempt.looking_up
    attempt.close()
    attempt.withdraw()


def here(port: int) -> Address:
    return (socket.AF_INET, ("127.0.0.1", port))


def test_one_address(port: int) -> None:
    with contextlib.closing(Attempt("127.0.0.1", port)) as attempt, attempt.open() as opened:
        assert opened.getpeername() == ("127.0.0.1", port)


def test_the_next_address_is_tried_when_one_refuses(
    monkeypatch: pytest.MonkeyPatch, port: int, closed_port: int
) -> None:
    with open_one_of(monkeypatch, here(closed_port), here(port)) as opened:
        assert opened.getpeername() == ("127.0.0.1", port)


def test_the_next_address_is_tried_when_one_takes_its_time(
    monkeypatch: pytest.MonkeyPatch, port: int, full_port: int
) -> None:
    monkeypatch.setattr(_sync_connect, "_ATTEMPT_SECONDS", 0.001)
    with open_one_of(monkeypatch, here(full_port), here(full_port), here(port)) as opened:
        assert opened.getpeername() == ("127.0.0.1", port)


def test_one_that_fails_late_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, port: int, closed_port: int, full_port: int
) -> None:
    monkeypatch.setattr(_sync_connect, "_ATTEMPT_SECONDS", 0.001)
    with open_one_of(monkeypatch, here(full_port), here(closed_port), here(port)) as opened:
        assert opened.getpeername() == ("127.0.0.1", port)


def test_all_refuse(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        open_one_of(monkeypatch, here(closed_port))
    with pytest.raises(ExceptionGroup) as caught:
        open_one_of(monkeypatch, here(closed_port), here(closed_port))
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2


def test_what_the_system_cannot_do_at_all(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    nowhere: Address = (socket.AF_INET, ("255.255.255.255", 1))
    with pytest.raises(OSError, match=r"Permission denied|unreachable"):
        open_one_of(monkeypatch, nowhere)
    beyond: Address = (socket.AF_INET, ("127.0.0.1", 70_000))
    with open_one_of(monkeypatch, beyond, here(port)) as opened:
        assert opened.getpeername() == ("127.0.0.1", port)


def test_a_family_that_the_system_lacks(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    whole = socket.socket

    def make(family: int, *more: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "not supported")
        return whole(family, *more)

    lacking: Address = (socket.AF_INET6, ("::1", port, 0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", make)
        with open_one_of(patch, lacking, here(port)) as opened:
            assert opened.getpeername() == ("127.0.0.1", port)


def test_withdrawing_while_nobody_answers(full_port: int) -> None:
    with contextlib.closing(Attempt("127.0.0.1", full_port)) as attempt:
        errors: list[BaseException] = []

        def run() -> None:
            try:
                attempt.open()
            except ConnectionAbortedError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        attempt.withdraw()
        thread.join(PATIENCE_SECONDS)
        assert len(errors) == 1


def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    four, six = socket.AF_INET, socket.AF_INET6

    def look_up(host: object, port: int, **more: object) -> list[tuple[object, ...]]:
        assert host == b"name"
        found: list[tuple[object, ...]] = [(four, 1, 6, "", (f"4.{number}", port)) for number in range(3)]
        found.append((four, 1, 6, "", ("4.0", port)))  # once more
        found.append((six, 1, 6, "", (10, b"what a Python without IPv6 says")))
        return [*found, *((six, 1, 6, "", (f"6.{number}", port, 0, 0)) for number in range(2))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert [address[0] for _, address in find_addresses("name", 1)] == ["6.0", "4.0", "6.1", "4.1", "4.2"]


def test_names_of_other_alphabets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def look_up(host: object, port: int, **more: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    find_addresses("straße.example", 1)
    assert asked == [b"xn--strae-oqa.example"]
    with pytest.raises(UnicodeError):
        find_addresses("\ud800", 1)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_ports_that_do_not_exist(port: int) -> None:
    with pytest.raises(OverflowError, match="port must be 0-65535"):
        find_addresses("127.0.0.1", port)
