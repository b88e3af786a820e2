from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.client import Failure, read_failure, recognise_failure
from aigw_proto.envelopes import gateway_error

REST = {
    "result": None,
    "success": False,
    "errors": [{"code": 10000, "message": "Authentication error"}],
    "messages": [],
}
OPENAI = {"error": {"message": "Bad key", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}
ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"}
GEMINI = [{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}]
OLDER = {"success": False, "result": [], "messages": [], "error": [{"code": 2005, "message": "Failed"}]}
POLICY = {"success": False, "error": {"message": "Access denied by policy"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.loads(gateway_error(429, 2003, "Rate limited")), Failure(429, 2003, "Rate limited", by_gateway=True)),
        (OLDER, Failure(None, 2005, "Failed", by_gateway=True)),
        (POLICY, Failure(None, None, "Access denied by policy", by_gateway=True)),
        (REST, Failure(None, 10000, "Authentication error", by_gateway=False)),
        (OPENAI, Failure(None, "invalid_api_key", "Bad key", by_gateway=False)),
        (ANTHROPIC, Failure(None, "overloaded_error", "Overloaded", by_gateway=False)),
        (GEMINI, Failure(None, 400, "API key not valid", by_gateway=False)),
    ],
)
def test_known_error_bodies_are_recognised(body: object, expected: Failure) -> None:
    response = json.dumps(body).encode()
    assert recognise_failure(response) == expected
    said = read_failure(418, response)
    assert (said.status, said.code, said.message, said.by_gateway) == (
        418,
        expected.code,
        expected.message,
        expected.by_gateway,
    )


@pytest.mark.parametrize(
    "response",
    [
        b'{"id":"x","choices":[],"error":null}',
        b'{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"}}',
        b'{"error":"not found"}',
        b'{"error":{}}',
        b'"about an \\"error\\" in a text"',
        b'[{"error":{"message":"one"}},{"error":{"message":"two"}}]',
        b"[]",
        b'{"success":false,"error":[]}',
        b'{"errors":[{"message":"a field of the answer"}],"x":1}',
        b'{"success":false,"error":"' + b"x" * 70_000 + b'"}',
        b'{"error":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_may_be_an_answer_is_not_taken_for_an_error(response: bytes) -> None:
    assert recognise_failure(response) is None


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (b'"upstream is down"', "upstream is down"),
        (b"", "HTTP status 502"),
        (b'"' + b"x" * 600 + b'"', "HTTP status 502"),
        (b'{"detail":"no such model"}', "no such model"),
        (b'{"message":"plain"}', "plain"),
        (b'{"error":"text"}', "text"),
        (b'{"x":1}', '{"x":1}'),
        (b"\xff", "\ufffd"),
        (b"[]", "[]"),
        (b'{"error":true}', '{"error":true}'),
    ],
)
def test_any_error_body_gives_a_message(response: bytes, message: str) -> None:
    assert read_failure(502, response) == Failure(502, None, message, by_gateway=False)


def test_a_body_may_know_the_status_that_the_frame_does_not() -> None:
    assert read_failure(None, gateway_error(401, 2009, "Unauthorized")).status == 401


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "errors", "message", "code", "success", "name"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_raises(response: bytes) -> None:
    recognise_failure(response)
    assert isinstance(read_failure(500, response).message, str)
