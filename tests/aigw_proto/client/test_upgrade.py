from __future__ import annotations

import pytest

from aigw_proto._errors import LocalProtocolError
from aigw_proto.client import GatewayUrl, OpenConnection, TokenForm, check_open
from aigw_proto.client._upgrade import upgrade_fields

URL = GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/")


def test_fields_and_subprotocols() -> None:
    request = OpenConnection(URL, "t", headers=(("X-Name", " värde "),), subprotocols=("a", "b"))
    assert upgrade_fields(request) == (
        [(b"cf-aig-authorization", b"Bearer t"), (b"X-Name", "värde".encode("latin-1"))],
        ("a", "b"),
    )
    assert upgrade_fields(OpenConnection(URL, "t", TokenForm.SUBPROTOCOL)) == ([], ("cf-aig-authorization.t",))
    assert upgrade_fields(OpenConnection(URL, headers=(("cf-aig-authorization", "bare"),))) == (
        [(b"cf-aig-authorization", b"bare")],
        (),
    )
    check_open(request)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (OpenConnection(URL, ""), "token: empty"),
        (OpenConnection(URL, "a\r\nb"), "token: empty, or"),
        (OpenConnection(URL, "a/b", TokenForm.SUBPROTOCOL), "token: .* use the header form"),
        (OpenConnection(URL, subprotocols=("a", "secret/b")), r"subprotocols\[1\]: not a token"),
        (OpenConnection(URL, subprotocols=("a", "a")), "each may be offered once"),
        (OpenConnection(URL, headers=(("", "x"),)), "header ''"),
        (OpenConnection(URL, headers=(("a:", "x"),)), "header 'a:'"),
        (OpenConnection(URL, headers=(("Host", "x"),)), "belongs to the opening handshake"),
        (OpenConnection(URL, headers=(("Sec-WebSocket-Key", "x"),)), "belongs to the opening handshake"),
        (OpenConnection(URL, "t", headers=(("CF-AIG-Authorization", "x"),)), "given twice"),
        (OpenConnection(URL, headers=(("a", "x\ny"),)), "header 'a': its value"),
        (OpenConnection(URL, headers=(("a", "\u20ac"),)), "header 'a': its value"),
    ],
)
def test_what_cannot_be_sent_is_named(request_: OpenConnection, complaint: str) -> None:
    with pytest.raises(LocalProtocolError, match=complaint) as caught:
        check_open(request_)
    assert "secret" not in str(caught.value)
