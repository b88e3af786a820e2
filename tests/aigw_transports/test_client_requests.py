from __future__ import annotations

import pytest

from aigw_proto import client as core
from aigw_proto._errors import LocalProtocolError
from aigw_proto.envelopes import Step as WireStep
from aigw_proto.envelopes import StepSettings
from aigw_proto.ws import DeflatePolicy
from aigw_transports._client_errors import ConnectionLost
from aigw_transports._client_replies import Step
from aigw_transports._client_requests import ended_in_order, message_to_send, open_request, wire_steps


def request(url: str, **headers: str) -> core.OpenConnection:
    return open_request(
        url,
        token="t",
        token_form=core.TokenForm.SUBPROTOCOL,
        headers=headers,
        subprotocols=["realtime"],
        compression=DeflatePolicy(),
        tls=None,
    )


def test_a_request_has_everything_in_its_place() -> None:
    url = core.GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/v1/a/g/openai?model=m")
    assert request("ws://h/v1/a/g/openai?model=m", Authorization="Bearer k") == core.OpenConnection(
        url, "t", core.TokenForm.SUBPROTOCOL, (("Authorization", "Bearer k"),), ("realtime",), DeflatePolicy(), None
    )


def test_mistakes_are_found_before_anything_is_connected() -> None:
    with pytest.raises(ValueError, match="url: scheme"):
        request("http://h/")
    with pytest.raises(LocalProtocolError, match="header 'host'"):
        request("ws://h/", host="x")


def test_a_list_of_subprotocols_is_no_text() -> None:
    with pytest.raises(TypeError, match="subprotocols: expected a list of names, got one str"):
        open_request(
            "ws://h/", token=None, token_form=core.TokenForm.HEADER, headers=None, subprotocols="realtime",
            compression=None, tls=None,
        )  # fmt: skip


def test_steps() -> None:
    settings = StepSettings(max_attempts=2)
    assert wire_steps([Step("p", "e", b"{}"), Step("q", "f", {"a": 1}, {"h": "v"}, settings)]) == (
        WireStep("p", "e", (), b"{}", StepSettings()),
        WireStep("q", "f", (("h", "v"),), b'{"a":1}', settings),
    )
    with pytest.raises(ValueError, match="steps: expected at least one"):
        wire_steps([])


def test_messages() -> None:
    assert message_to_send("caf\u00e9") == core.SendMessage(b"caf\xc3\xa9", binary=False)
    for binary in (b"x", bytearray(b"x"), memoryview(b"x")):
        assert message_to_send(binary) == core.SendMessage(b"x", binary=True)
    with pytest.raises(TypeError, match="message: expected str or bytes, got int"):
        message_to_send(7)  # type: ignore[arg-type] # the mistake
    with pytest.raises(LocalProtocolError, match="no UTF-8 form"):
        message_to_send("\ud800")


@pytest.mark.parametrize(
    ("code", "by", "in_order"),
    [
        (1000, core.ClosedBy.PEER, True),
        (1001, core.ClosedBy.PEER, True),
        (1005, core.ClosedBy.PEER, True),
        (1011, core.ClosedBy.PEER, False),
        (1006, core.ClosedBy.NETWORK, False),
        (4001, core.ClosedBy.PROGRAM, True),
    ],
)
def test_which_ends_are_in_order(code: int, by: core.ClosedBy, in_order: bool) -> None:
    assert ended_in_order(ConnectionLost(code, "", clean=True, closed_by=by)) is in_order
