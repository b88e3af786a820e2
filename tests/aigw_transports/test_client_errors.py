from __future__ import annotations

import pytest

from aigw_proto import client as core
from aigw_proto._errors import AigwError, LocalProtocolError
from aigw_proto._inputs import ConnectFailure
from aigw_proto.envelopes import Metadata, gateway_error
from aigw_transports import _client_errors as errors

METADATA = Metadata("e", "l", 0, "application/json")


def test_what_keeps_a_connection_from_opening() -> None:
    refused = errors.failed_to_open(core.OpenRefused(401, [], gateway_error(401, 2009, "Unauthorized")))
    assert isinstance(refused, errors.HandshakeRefused)
    assert (refused.status, refused.code, refused.message) == (401, 2009, "Unauthorized")
    assert str(refused) == "the gateway refused the connection with HTTP status 401: Unauthorized"
    failed = errors.failed_to_open(core.OpenFailed("no", ConnectFailure.NAME))
    assert isinstance(failed, errors.ConnectionFailed)
    assert (failed.reason, failed.failure) == ("no", ConnectFailure.NAME)


@pytest.mark.parametrize(
    ("item", "kind", "text"),
    [
        (
            core.RequestFailed(429, 2003, "Rate limited", True, METADATA, b"{}"),
            errors.RequestRejected,
            "Rate limited (429 2003)",
        ),
        (core.RequestFailed(None, None, "Odd", True, METADATA, b"{}"), errors.RequestRejected, "Odd"),
        (core.RequestFailed(500, None, "Boom", False, METADATA, b'"x"'), errors.ProviderError, "Boom (500)"),
        (core.RequestNotSent("event id in use"), LocalProtocolError, "event id in use"),
        (core.RequestTimedOut(1.5), errors.RequestTimedOut, "no complete answer within 1.5 s"),
        (core.StreamBroken(METADATA, "cut"), errors.StreamInterrupted, "the stream was interrupted: cut"),
        (
            core.ConnectionLost(1006, "", clean=False, closed_by=core.ClosedBy.NETWORK),
            errors.ConnectionLost,
            "the connection to the gateway ended with code 1006",
        ),
        (
            core.ConnectionLost(1012, "restart", clean=True, closed_by=core.ClosedBy.PEER),
            errors.ConnectionLost,
            "the connection to the gateway ended with code 1012: restart",
        ),
    ],
)
def test_what_ends_a_request_badly(item: core.RequestItem, kind: type[AigwError], text: str) -> None:
    error = errors.failed_request(item)
    assert type(error) is kind
    assert str(error) == text


def test_a_lost_connection_says_who_ended_it() -> None:
    error = errors.lost_connection(core.ConnectionLost(1009, "too big", clean=False, closed_by=core.ClosedBy.CLIENT))
    assert (error.code, error.reason, error.clean, error.closed_by) == (1009, "too big", False, core.ClosedBy.CLIENT)


def test_errors_carry_the_envelope() -> None:
    error = errors.failed_request(core.RequestFailed(500, "c", "Boom", False, METADATA, b'{"error":1}'))
    assert isinstance(error, errors.ProviderError)
    assert error.metadata is METADATA
    assert (error.status, error.code, error.raw, error.response) == (500, "c", b'{"error":1}', {"error": 1})


def test_items_out_of_order_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="order of items"):
        errors.failed_request(core.ChunkReceived(b"1", None))
