"""Error codes and bodies."""

from __future__ import annotations

import json

from aigw_proto.envelopes._errors import ErrorCode, gateway_error


def test_the_body_of_the_current_generation() -> None:
    assert gateway_error(429, ErrorCode.RATE_LIMITED, "Rate limited") == (
        b'{"success":false,"result":[],"messages":[],"error":[{"code":2003,"message":"Rate limited"}],'
        b'"name":"AiGatewayError","httpCode":429,"internalCode":2003,"message":"Rate limited",'
        b'"description":"Rate limited"}'
    )


def test_any_text_makes_a_valid_body() -> None:
    body = json.loads(gateway_error(400, 90001, 'a "quoted"\n\ud800 é'))
    assert body["message"] == body["description"] == body["error"][0]["message"] == 'a "quoted"\n? é'


def test_our_own_codes_are_far_from_the_documented_ones() -> None:
    assert all(2000 < code < 3000 or 90000 < code < 91000 for code in ErrorCode)
    assert len({code.value for code in ErrorCode}) == len(ErrorCode.__members__)
