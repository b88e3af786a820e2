"""Settings: the two spellings, ranges, and precedence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.envelopes._errors import ErrorCode
from aigw_proto.envelopes._messages import Backoff, EnvelopeFault, StepSettings
from aigw_proto.envelopes._settings import merge_settings, parse_config, parse_settings, settings_from_fields


def test_the_documented_config() -> None:
    text = b'{ "requestTimeout": 1000, "maxAttempts": 2, "retryDelay": 1500, "backoff": "constant", "other": {} }'
    assert parse_config(text, "c") == StepSettings(1.0, 2, 1.5, Backoff.CONSTANT)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (b"{}", StepSettings()),
        (b'{"requestTimeout":null,"backoff":null}', StepSettings()),
        (b'{"requestTimeout":0.5}', StepSettings(request_timeout_seconds=0.0005)),
        (b'{"requestTimeout":1e3}', StepSettings(request_timeout_seconds=1.0)),
        (b'{"maxAttempts":5.0}', StepSettings(max_attempts=5)),
        (b'{"retryDelay":0}', StepSettings(retry_delay_seconds=0.0)),
        (b'{"retryDelay":60000}', StepSettings(retry_delay_seconds=60.0)),
        (b'{"backoff":"exponential"}', StepSettings(backoff=Backoff.EXPONENTIAL)),
        (b'{"maxAttempts":1,"maxAttempts":3}', StepSettings(max_attempts=3)),
    ],
)
def test_config(text: bytes, settings: StepSettings) -> None:
    assert parse_config(text, "c") == settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"requestTimeout":"1000"}', "c.requestTimeout: expected a number, got a string"),
        (b'{"requestTimeout":0}', "c.requestTimeout: expected milliseconds above 0, got '0'"),
        (b'{"requestTimeout":-1}', "c.requestTimeout: expected milliseconds above 0, got '-1'"),
        (b'{"requestTimeout":1e999}', "c.requestTimeout: expected milliseconds above 0, got '1e999'"),
        (b'{"maxAttempts":0}', "c.maxAttempts: expected a whole number from 1 to 5, got '0'"),
        (b'{"maxAttempts":6}', "c.maxAttempts: expected a whole number from 1 to 5, got '6'"),
        (b'{"maxAttempts":1.5}', "c.maxAttempts: expected a whole number from 1 to 5, got '1.5'"),
        (b'{"maxAttempts":true}', "c.maxAttempts: expected a number, got a boolean"),
        (b'{"retryDelay":60001}', "c.retryDelay: expected milliseconds from 0 to 60000, got '60001'"),
        (b'{"backoff":"Linear"}', "c.backoff: expected constant, linear or exponential, got 'Linear'"),
        (b'{"backoff":1}', "c.backoff: expected a string, got a number"),
        (b'{"backoff":{}}', "c.backoff: expected a string, got an object"),
    ],
)
def test_bad_config(text: bytes, problem: str) -> None:
    assert parse_config(text, "c") == problem


def test_headers() -> None:
    assert parse_settings(
        [
            (b"CF-AIG-Request-Timeout", b" 2000 "),
            (b"cf-aig-max-attempts", b"3"),
            (b"cf-aig-retry-delay", b"100"),
            (b"cf-aig-backoff", b"linear"),
            (b"cf-aig-byok-alias", b"team-b"),
            (b"cf-aig-collect-log", b"False"),
            (b"cf-aig-cache-ttl", b"whatever"),
            (b"host", b"\xff"),
        ]
    ) == StepSettings(2.0, 3, 0.1, Backoff.LINEAR, "team-b", collect_log=False)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (b"cf-aig-request-timeout", b"soon", "cf-aig-request-timeout: expected milliseconds above 0, got 'soon'"),
        (b"cf-aig-max-attempts", b"9", "cf-aig-max-attempts: expected a whole number from 1 to 5, got '9'"),
        (b"cf-aig-retry-delay", b"-1", "cf-aig-retry-delay: expected milliseconds from 0 to 60000, got '-1'"),
        (b"cf-aig-backoff", b"", "cf-aig-backoff: expected constant, linear or exponential, got ''"),
        (b"cf-aig-byok-alias", b" ", "cf-aig-byok-alias: expected 1 to 128 characters, got ' '"),
        (b"cf-aig-collect-log", b"yes", "cf-aig-collect-log: expected true or false, got 'yes'"),
    ],
)
def test_bad_headers(name: bytes, value: bytes, problem: str) -> None:
    assert parse_settings([(name, value)]) == EnvelopeFault(400, ErrorCode.INVALID_FIELD, problem)
    assert settings_from_fields([(name.decode(), value.decode())], "h.") == f"h.{problem}"


SETTINGS = st.builds(
    StepSettings,
    st.none() | st.floats(min_value=0.001, max_value=10),
    st.none() | st.integers(min_value=1, max_value=5),
    st.none() | st.floats(min_value=0, max_value=60),
    st.none() | st.sampled_from(Backoff),
    st.none() | st.just("a"),
    st.none() | st.booleans(),
)


@given(SETTINGS, SETTINGS, SETTINGS)
def test_merging_prefers_the_specific(one: StepSettings, two: StepSettings, three: StepSettings) -> None:
    merged = merge_settings(one, two)
    assert merged.max_attempts == (two.max_attempts if one.max_attempts is None else one.max_attempts)
    assert merged.collect_log == (two.collect_log if one.collect_log is None else one.collect_log)
    assert merge_settings(one, one) == one == merge_settings(one, StepSettings()) == merge_settings(StepSettings(), one)
    assert merge_settings(merged, three) == merge_settings(one, merge_settings(two, three))


@given(st.binary(max_size=20))
def test_any_header_value(value: bytes) -> None:
    for name in (b"cf-aig-request-timeout", b"cf-aig-max-attempts", b"cf-aig-retry-delay", b"cf-aig-collect-log"):
        assert isinstance(parse_settings([(name, value)]), StepSettings | EnvelopeFault)
