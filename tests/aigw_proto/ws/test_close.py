from __future__ import annotations

import pytest

from aigw_proto.ws._close import close_payload, is_sendable_code, read_close
from aigw_proto.ws._violation import Violation

SENDABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_every_code_of_two_octets() -> None:
    assert {code for code in range(65536) if is_sendable_code(code)} == SENDABLE
    for code in range(65536):
        try:
            accepted = read_close(code.to_bytes(2, "big")) == (code, "")
        except Violation as violation:
            accepted = violation.code != 1002
        assert accepted == (code in SENDABLE)


def test_no_payload_half_a_code_and_a_bad_reason() -> None:
    assert read_close(b"") == (1005, "")
    with pytest.raises(Violation) as caught:
        read_close(b"\x03")
    assert caught.value.code == 1002
    with pytest.raises(Violation) as caught:
        read_close(b"\x03\xe8\xce\xba\xff")
    assert caught.value.code == 1007


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "", b""),
        (1000, "", b"\x03\xe8"),
        (1000, "bye", b"\x03\xe8bye"),
        (4999, "é" * 100, b"\x13\x87" + "é".encode() * 61),
        (1000, "x" * 122 + "é", b"\x03\xe8" + b"x" * 122),
        (1000, "\ud800!", b"\x03\xe8?!"),
    ],
)
def test_payloads_fit_into_a_control_frame_and_stay_text(code: int | None, reason: str, payload: bytes) -> None:
    assert close_payload(code, reason) == payload
    assert len(payload) <= 125
