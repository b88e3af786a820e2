"""The opening handshake as values: the rules, the faults of other libraries, real clients, and second opinions."""

from __future__ import annotations

import base64

import pytest
import wsproto
import wsproto.events
import wsproto.extensions
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers as TheirHeaders
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.http11 import Request as TheirRequest
from websockets.http11 import Response as TheirResponse
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from aigw_proto import LocalProtocolError, Role, Signal
from aigw_proto._entropy import Entropy
from aigw_proto.http import H1Connection, Headers, Request, Response
from aigw_proto.ws import (
    DeflateParameters,
    DeflatePolicy,
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    accept_upgrade,
    check_response,
    check_upgrade,
    new_key,
    upgrade_request,
    wants_upgrade,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3, with its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD: Headers = [
    (b"host", b"example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]


def changed(*changes: tuple[bytes, bytes | None]) -> Headers:
    """Return good headers without those named, and with the values given."""
    names = {name for name, _ in changes}
    return [pair for pair in GOOD if pair[0] not in names] + [
        (name, value) for name, value in changes if value is not None
    ]


def check(headers: Headers) -> UpgradeOffer | UpgradeRefused:
    return check_upgrade(Request(b"GET", b"/", headers))


def accepted(headers: Headers) -> UpgradeOffer:
    checked = check(headers)
    assert isinstance(checked, UpgradeOffer), checked
    return checked


def refused(checked: object) -> UpgradeRefused:
    assert isinstance(checked, UpgradeRefused)
    assert checked.reason
    return checked


# --- requests ---


def test_plain_request_is_accepted() -> None:
    assert accepted(GOOD) == UpgradeOffer(b"/", b"example.com", KEY, (), (), None, GOOD)
    assert wants_upgrade(Request(b"GET", b"/", GOOD))


@pytest.mark.parametrize(
    "headers",
    [
        changed((b"connection", b"keep-alive"), (b"connection", b"Upgrade")),
        changed((b"connection", b"Upgrade"), (b"connection", b"keep-alive")),
        changed((b"connection", b"keep-alive,\tUPGRADE , x")),
        changed((b"upgrade", b"WebSocket")),
        changed((b"upgrade", b"h2c, websocket")),
        changed((b"upgrade", b"h2c"), (b"upgrade", b"WEBSOCKET")),
        [(name.title(), value) for name, value in GOOD],
        [(name.upper(), value) for name, value in GOOD],
        [*GOOD, (b"content-length", b"0"), (b"content-type", b"application/json"), (b"sec-fetch-mode", b"websocket")],
        [*GOOD, (b"x", b"\xff\xfe"), (b"pragma", b"no-cache"), (b"accept-encoding", b"gzip, br")],
        [*GOOD, (b"sec-websocket-extensions", b"")],
        [*GOOD, (b"sec-websocket-protocol", b"")],
        changed((b"sec-websocket-key", base64.b64encode(bytes(16)))),
    ],
)
def test_odd_but_right_requests_are_accepted(headers: Headers) -> None:
    accepted(headers)


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"a.b-c_d.example",
        b"127.0.0.1:8787",
        b"[::1]",
        b"[fe80::1%25eth0]:80",
        b"a:",
        b"a:65535",
        b"xn--bcher-kva.example",
    ],
)
def test_hosts(host: bytes) -> None:
    assert accepted(changed((b"host", host))).host == host


@pytest.mark.parametrize(
    "host",
    [b"", b":80", b"a b", b"a/b", b"a@b", b"a:b", b"a:65536", b"a:080000", b"[::1", b"[]", b"\xff", b"a?b", b"a\tb"],
)
def test_bad_hosts(host: bytes) -> None:
    assert refused(check(changed((b"host", host)))).status == 400


@pytest.mark.parametrize(
    "target",
    [b"/", b"//ws/google.ai?key=a%2Fb&x=[1]", b"/%zz/%00\xff", b"/a/../b", b"ws://example.com/a", b"http://h/a"],
)
def test_targets_stay_as_they_are(target: bytes) -> None:
    checked = check_upgrade(Request(b"GET", target, GOOD))
    assert isinstance(checked, UpgradeOffer)
    assert checked.target == target


@pytest.mark.parametrize("target", [b"*", b"example.com:80", b"a/b", b""])
def test_targets_that_are_no_paths(target: bytes) -> None:
    assert refused(check_upgrade(Request(b"GET", target, GOOD))).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (changed((b"upgrade", None)), 426),
        (changed((b"upgrade", b"websocket2")), 426),
        (changed((b"connection", None)), 400),
        (changed((b"connection", b"keep-alive")), 400),
        (changed((b"host", None)), 400),
        (changed((b"host", b"a"), (b"host", b"a")), 400),
        (changed((b"sec-websocket-version", None)), 426),
        (changed((b"sec-websocket-version", b"12")), 426),
        (changed((b"sec-websocket-version", b"13, 8")), 426),
        (changed((b"sec-websocket-version", b"13"), (b"sec-websocket-version", b"13")), 426),
        (changed((b"sec-websocket-key", None)), 400),
        (changed((b"sec-websocket-key", b"")), 400),
        (changed((b"sec-websocket-key", KEY), (b"sec-websocket-key", KEY)), 400),
        (changed((b"sec-websocket-key", base64.b64encode(bytes(15)))), 400),
        (changed((b"sec-websocket-key", base64.b64encode(bytes(17)))), 400),
        (changed((b"sec-websocket-key", KEY[:-1])), 400),
        (changed((b"sec-websocket-key", b"*" * 22 + b"==")), 400),
        ([*GOOD, (b"content-length", b"5")], 400),
        ([*GOOD, (b"transfer-encoding", b"chunked")], 400),
        ([*GOOD, (b"origin", b"https://a"), (b"origin", b"https://b")], 400),
        ([*GOOD, (b"sec-websocket-protocol", b"a:b")], 400),
        ([*GOOD, (b"sec-websocket-protocol", b"a b")], 400),
        ([*GOOD, (b"sec-websocket-protocol", b"\xff")], 400),
        ([*GOOD, (b"sec-websocket-protocol", b"\x1ca")], 400),
        ([*GOOD, (b"sec-websocket-protocol", b"a, b, a")], 400),
    ],
)
def test_requests_that_are_refused(headers: Headers, status: int) -> None:
    answer = refused(check(headers))
    assert answer.status == status
    assert ((b"sec-websocket-version", b"13") in answer.headers) is (status == 426)
    assert ((b"upgrade", b"websocket") in answer.headers) is (status == 426)


def test_other_methods_are_refused_by_name() -> None:
    answer = refused(check_upgrade(Request(b"POST", b"/", GOOD)))
    assert (answer.status, answer.headers) == (405, [(b"allow", b"GET")])


def test_http_1_0_cannot_upgrade() -> None:
    request = Request(b"GET", b"/", GOOD, b"1.0")
    assert not wants_upgrade(request)
    assert refused(check_upgrade(request)).status == 400


def test_lists_from_several_lines_keep_their_order() -> None:
    offer = accepted(
        [
            *GOOD,
            (b"Sec-WebSocket-Protocol", b"realtime,openai-insecure-api-key.sk-1"),
            (b"origin", b"null"),
            (b"sec-websocket-protocol", b" cf-aig-authorization.T , "),
            (b"sec-websocket-extensions", b'a; x="1,2", b'),
            (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
        ]
    )
    assert offer.subprotocols == ("realtime", "openai-insecure-api-key.sk-1", "cf-aig-authorization.T")
    assert offer.extensions == ('a; x="1,2"', "b", "permessage-deflate; client_max_window_bits")
    assert offer.origin == b"null"


# --- answers ---


def test_answer_of_the_rfc() -> None:
    response, agreement = accept_upgrade(accepted(GOOD))
    headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", ACCEPT)]
    assert response == Response(101, headers, b"Switching Protocols")
    assert agreement == UpgradeAccepted(None, None, headers)


def test_answer_with_everything() -> None:
    offer = accepted(
        [
            *GOOD,
            (b"sec-websocket-protocol", b"a, b"),
            (b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=10"),
        ]
    )
    response, agreement = accept_upgrade(offer, subprotocol="b", deflate=DeflatePolicy(), headers=[(b"X-Id", b"1")])
    assert response.headers[3:] == [
        (b"Sec-WebSocket-Protocol", b"b"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate; server_max_window_bits=10"),
        (b"X-Id", b"1"),
    ]
    assert (agreement.subprotocol, agreement.deflate) == ("b", DeflateParameters(server_max_window_bits=10))


def test_compression_needs_a_policy_and_a_good_offer() -> None:
    offered = accepted([*GOOD, (b"sec-websocket-extensions", b"permessage-deflate")])
    assert accept_upgrade(offered)[1].deflate is None
    bad = accepted([*GOOD, (b"sec-websocket-extensions", b'permessage-deflate; server_max_window_bits="\xff"')])
    assert accept_upgrade(bad, deflate=DeflatePolicy())[1].deflate is None


def test_answers_that_callers_may_not_give() -> None:
    offer = accepted([*GOOD, (b"sec-websocket-protocol", b"a")])
    with pytest.raises(LocalProtocolError):
        accept_upgrade(offer, subprotocol="b")
    with pytest.raises(LocalProtocolError):
        accept_upgrade(offer, headers=[(b"Sec-WebSocket-Accept", b"x")])
    with pytest.raises(LocalProtocolError):
        accept_upgrade(offer, deflate=DeflatePolicy(server_max_window_bits=16))


# --- clients ---


def test_request_with_everything() -> None:
    request = upgrade_request(
        host=b"example.com:8787",
        target=b"/v1/a?b",
        key=KEY,
        subprotocols=["a", "b"],
        deflate=DeflatePolicy(),
        headers=[(b"Authorization", b"Bearer x")],
    )
    assert request == Request(
        b"GET",
        b"/v1/a?b",
        [
            (b"Host", b"example.com:8787"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", KEY),
            (b"Sec-WebSocket-Version", b"13"),
            (b"Sec-WebSocket-Protocol", b"a, b"),
            (b"Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits"),
            (b"Authorization", b"Bearer x"),
        ],
    )
    assert isinstance(check_upgrade(request), UpgradeOffer)


def test_keys_are_fresh() -> None:
    entropy = Entropy(lambda count: bytes(index % 256 for index in range(count)))
    first, second = new_key(entropy), new_key(entropy)
    assert base64.b64decode(first) == bytes(range(16))
    assert base64.b64decode(second) == bytes(range(16, 32))


@pytest.mark.parametrize(
    ("host", "target", "key", "subprotocols", "headers"),
    [
        (b"", b"/", KEY, (), []),
        (b"a\r\nx: y", b"/", KEY, (), []),
        (b"a", b"", KEY, (), []),
        (b"a", b"v1", KEY, (), []),
        (b"a", b"/", b"short", (), []),
        (b"a", b"/", KEY, ("a b",), []),
        (b"a", b"/", KEY, ("é",), []),
        (b"a", b"/", KEY, ("a", "a"), []),
        (b"a", b"/", KEY, (), [(b"HOST", b"b")]),
        (b"a", b"/", KEY, (), [(b"content-length", b"5")]),
    ],
)
def test_requests_that_callers_may_not_make(
    host: bytes, target: bytes, key: bytes, subprotocols: tuple[str, ...], headers: Headers
) -> None:
    with pytest.raises(LocalProtocolError):
        upgrade_request(host=host, target=target, key=key, subprotocols=subprotocols, headers=headers)


def respond(*changes: tuple[bytes, bytes | None], status: int = 101) -> UpgradeAccepted | UpgradeRefused:
    headers: Headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", ACCEPT)]
    names = {name for name, _ in changes}
    headers = [pair for pair in headers if pair[0] not in names]
    headers += [(name, value) for name, value in changes if value is not None]
    return check_response(
        Response(status, headers), key=KEY, subprotocols=["a", "b"], deflate=DeflatePolicy(server_max_window_bits=12)
    )


@pytest.mark.parametrize(
    ("changes", "subprotocol", "deflate"),
    [
        ([], None, None),
        ([(b"upgrade", b"WebSocket"), (b"connection", b"keep-alive, UPGRADE")], None, None),
        ([(b"sec-websocket-protocol", b"b")], "b", None),
        ([(b"sec-websocket-extensions", b"")], None, None),
        (
            [(b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=12")],
            None,
            DeflateParameters(server_max_window_bits=12),
        ),
    ],
)
def test_responses_that_are_accepted(
    changes: list[tuple[bytes, bytes | None]], subprotocol: str | None, deflate: DeflateParameters | None
) -> None:
    checked = respond(*changes)
    assert isinstance(checked, UpgradeAccepted)
    assert (checked.subprotocol, checked.deflate) == (subprotocol, deflate)


@pytest.mark.parametrize(
    "changes",
    [
        [(b"upgrade", None)],
        [(b"upgrade", b"h2c")],
        [(b"upgrade", b"websocket, h2c")],
        [(b"connection", None)],
        [(b"connection", b"close")],
        [(b"sec-websocket-accept", None)],
        [(b"sec-websocket-accept", ACCEPT.lower())],
        [(b"sec-websocket-accept", ACCEPT), (b"sec-websocket-accept", ACCEPT)],
        [(b"sec-websocket-protocol", b"c")],
        [(b"sec-websocket-protocol", b"")],
        [(b"sec-websocket-protocol", b"a, b")],
        [(b"sec-websocket-protocol", b"a"), (b"sec-websocket-protocol", b"b")],
        [(b"sec-websocket-protocol", b"\xff")],
        [(b"sec-websocket-extensions", b"permessage-deflate")],
        [(b"sec-websocket-extensions", b"x-unknown")],
        [(b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=12; mystery")],
        [(b"sec-websocket-extensions", b"\xff")],
    ],
)
def test_responses_that_are_refused(changes: list[tuple[bytes, bytes | None]]) -> None:
    assert refused(respond(*changes)).status == 101


def test_other_status_is_kept_with_its_headers() -> None:
    answer = refused(respond((b"retry-after", b"3"), status=503))
    assert answer.status == 503
    assert (b"retry-after", b"3") in answer.headers


def test_selection_without_an_offer_is_refused() -> None:
    headers: Headers = [
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
        (b"sec-websocket-accept", ACCEPT),
        (b"sec-websocket-protocol", b"a"),
    ]
    refused(check_response(Response(101, headers), key=KEY, subprotocols=[], deflate=None))


# --- as real clients write it ---

REAL = {
    "browser": (
        b"GET /v1/a/g/openai?model=m HTTP/1.1\r\nHost: localhost:8787\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
        b"Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\nUpgrade: websocket\r\nOrigin: http://localhost\r\n"
        b"Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-1\r\n\r\n"
    ),
    "node": (
        b"GET //ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent?key=K HTTP/1.1\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nconnection: Upgrade\r\n"
        b"upgrade: websocket\r\nsec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n"
        b"sec-websocket-protocol: realtime,openai-insecure-api-key.sk-1\r\nhost: localhost:8787\r\n\r\n"
    ),
    "python with headers of a POST": (
        b"GET /v1/a/g/cartesia HTTP/1.1\r\nHost: [::1]:8787\r\nContent-Type: application/json\r\nAccept: */*\r\n"
        b"X-Stainless-Lang: python\r\nUPGRADE: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: realtime\r\nSec-WebSocket-Protocol: openai-insecure-api-key.sk-1\r\n\r\n"
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_clients(name: str) -> None:
    connection = H1Connection(Role.SERVER, now=0.0)
    connection.receive_data(REAL[name] + b"\x81\x80\0\0\0\0", 0.0)
    request = connection.next_event()
    assert isinstance(request, Request)
    offer = check_upgrade(request)
    assert isinstance(offer, UpgradeOffer)
    assert offer.subprotocols == ("realtime", "openai-insecure-api-key.sk-1")
    assert offer.target == REAL[name].split(b" ")[1]
    response, _ = accept_upgrade(offer, subprotocol="realtime", deflate=DeflatePolicy())
    connection.send_switch(response)
    assert connection.next_event() is Signal.SWITCHED
    assert connection.unconsumed() == b"\x81\x80\0\0\0\0"  # what wsproto loses


# --- second opinions ---

HEADERS = st.lists(
    st.sampled_from(
        [
            *((b"connection", value) for value in (b"upgrade", b"keep-alive, Upgrade", b"close")),
            *((b"upgrade", value) for value in (b"websocket", b"WebSocket", b"h2c")),
            *((b"sec-websocket-version", value) for value in (b"13", b"8", b"013")),
            *((b"sec-websocket-key", value) for value in (KEY, b"short", b"AAAAAAAAAAAAAAAAAAAAAB==", KEY + b"=")),
            *((b"sec-websocket-protocol", value) for value in (b"a", b"a,b", b"b, c", b"a b", b"a:b")),
            *((b"sec-websocket-extensions", value) for value in (b"permessage-deflate", b"x; y=z, permessage-deflate")),
            (b"x-odd", b"\xe9"),
        ]
    ),
    max_size=3,
)


@given(removed=st.sets(st.sampled_from([name for name, _ in GOOD[1:]]), max_size=2), added=HEADERS)
def test_servers_agree_with_websockets(removed: set[bytes], added: Headers) -> None:
    headers = [pair for pair in GOOD if pair[0] not in removed] + added
    theirs = ServerProtocol()
    request = TheirRequest("/", _their_headers(headers))
    ours = check(headers)
    if isinstance(ours, UpgradeOffer):
        # They want exactly one protocol in Upgrade; RFC 6455 section 4.2.1 wants one of a list to be websocket.
        upgrades = [value for name, value in headers if name == b"upgrade"]
        if len(upgrades) == 1:
            assert theirs.accept(request).status_code == 101
    elif ours.reason != "a subprotocol is named twice":  # RFC 6455 section 4.1 forbids it; they do not look
        assert theirs.accept(request).status_code != 101


def _their_headers(headers: Headers) -> TheirHeaders:
    return TheirHeaders([(name.decode(), value.decode("latin-1")) for name, value in headers])


@pytest.mark.parametrize("subprotocols", [(), ("a",), ("b", "a")])
@pytest.mark.parametrize("deflate", [None, DeflatePolicy(), DeflatePolicy(True, True, 10, 11)])
def test_websockets_accepts_our_request_and_we_its_answer(
    subprotocols: tuple[str, ...], deflate: DeflatePolicy | None
) -> None:
    request = upgrade_request(host=b"a", target=b"/", key=KEY, subprotocols=subprotocols, deflate=deflate)
    server = ServerProtocol(
        subprotocols=[Subprotocol("a")],
        select_subprotocol=lambda _, offered: Subprotocol("a") if "a" in offered else None,
        extensions=[ServerPerMessageDeflateFactory()],
    )
    answer = server.accept(TheirRequest("/", _their_headers(request.headers)))
    assert answer.status_code == 101
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.raw_items()]
    checked = check_response(Response(101, headers), key=KEY, subprotocols=subprotocols, deflate=deflate)
    assert isinstance(checked, UpgradeAccepted)
    assert checked.subprotocol == ("a" if "a" in subprotocols else None)
    if deflate is None:
        assert checked.deflate is None
    else:
        assert checked.deflate == DeflateParameters(
            deflate.server_no_context_takeover,
            deflate.client_no_context_takeover,
            deflate.server_max_window_bits,
            deflate.client_max_window_bits,
        )


@pytest.mark.parametrize("policy", [None, DeflatePolicy(), DeflatePolicy(True, True, 10, 11)])
def test_websockets_accepts_our_answer(policy: DeflatePolicy | None) -> None:
    client = ClientProtocol(parse_uri("ws://a/x"), extensions=[ClientPerMessageDeflateFactory()])
    request = client.connect()
    ours = [(name.encode(), value.encode()) for name, value in request.headers.raw_items()]
    response, agreement = accept_upgrade(accepted(ours), deflate=policy)
    client.process_response(TheirResponse(101, "Switching Protocols", _their_headers(response.headers)))
    assert len(client.extensions) == (policy is not None)
    assert (agreement.deflate is None) == (policy is None)


def test_wsproto_accepts_our_request_and_we_its_answer() -> None:
    request = upgrade_request(
        host=b"a", target=b"/", key=KEY, subprotocols=["a"], deflate=DeflatePolicy(client_max_window_bits=12)
    )
    wire = b"GET / HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in request.headers) + b"\r\n"
    server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    server.receive_data(wire)
    (event,) = server.events()
    assert isinstance(event, wsproto.events.Request)
    assert event.subprotocols == ["a"]
    answer = server.send(
        wsproto.events.AcceptConnection(subprotocol="a", extensions=[wsproto.extensions.PerMessageDeflate()])
    )
    client = H1Connection(Role.CLIENT, now=0.0)
    client.send_request(request)
    client.end_message()
    client.receive_data(answer, 0.0)
    response = client.next_event()
    assert isinstance(response, Response)
    checked = check_response(response, key=KEY, subprotocols=["a"], deflate=DeflatePolicy(client_max_window_bits=12))
    assert isinstance(checked, UpgradeAccepted)
    assert checked.deflate == DeflateParameters(client_max_window_bits=12)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [name for name, _ in GOOD] + [b"sec-websocket-protocol", b"sec-websocket-extensions", b"origin"]
            ),
            st.binary(max_size=20),
        ),
        max_size=6,
    ),
    st.binary(max_size=10),
)
def test_any_headers_give_an_answer(headers: Headers, target: bytes) -> None:
    for some in (headers, GOOD + headers):
        checked = check_upgrade(Request(b"GET", target, some))
        assert isinstance(checked, UpgradeOffer | UpgradeRefused)
        check_response(Response(101, some), key=KEY, subprotocols=["a"], deflate=DeflatePolicy())
