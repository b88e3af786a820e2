"""How a session begins, and what a client sees of one that does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from aigw_transports.memory import Faults
from support.realtime_frames import BINARY, CLOSE, FIN, TEXT, Message, close_payload, frame
from support.realtime_side import KEY, accept_value, part, response
from support.realtime_stage import GONE, TOKEN, MemoryStage

if TYPE_CHECKING:
    from support.realtime_side import Head
    from support.realtime_stage import Stage

AT_ONCE = 50


def protocols(head: Head) -> list[str]:
    return head.items("sec-websocket-protocol")


# ---- subprotocols ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["realtime"], "realtime"),
        (["a", "b", "c"], "b"),
        (["a,b,c"], "c"),
        (["a , b ,c"], "a"),
        (["a", "b, c"], "c"),
        (["realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1"], "realtime"),
        ([], None),
    ],
)
def test_a_subprotocol(stage: Stage, offered: list[str], selected: str | None) -> None:
    client = stage.client("openai", "?model=m", *(f"Sec-WebSocket-Protocol: {line}" for line in offered))
    provider = stage.provider()
    items = [item.strip() for line in offered for item in line.split(",")]
    assert protocols(provider.get_head()) == items
    stage.admit(provider, *([f"Sec-WebSocket-Protocol: {selected}"] if selected else []))
    assert client.get_head().status == 101
    assert client.get_head().get("sec-websocket-protocol") == selected


class Offer(NamedTuple):
    """What a client offers, what of it the provider sees and selects, and what the client is told."""

    slug: str
    rest: str
    offered: str
    seen: list[str]
    selected: str | None
    told: str
    fields: dict[str, str | None] = {}  # noqa: RUF012 - never changed


OFFERS = {
    "openai with a gateway token": Offer(
        "openai", "?model=m", f"realtime, cf-aig-authorization.{TOKEN}, openai-insecure-api-key.sk-1",
        ["realtime", "openai-insecure-api-key.sk-1"], "realtime", "realtime",
    ),
    "openai selects nothing": Offer(
        "openai", "?model=m", f"openai-insecure-api-key.sk-1, cf-aig-authorization.{TOKEN}, realtime",
        ["openai-insecure-api-key.sk-1", "realtime"], None, "realtime",
    ),
    "openai's other items": Offer(
        "openai", "/realtime?model=m",
        f"realtime,openai-insecure-api-key.sk-1,openai-organization.o,openai-project.p,openai-agents-sdk.0.20,"
        f"cf-aig-authorization.{TOKEN}",
        [
            "realtime", "openai-insecure-api-key.sk-1", "openai-organization.o", "openai-project.p",
            "openai-agents-sdk.0.20",
        ],
        "realtime", "realtime",
    ),
    "google with a gateway token only": Offer(
        "google", "?api_key=k", f"cf-aig-authorization.{TOKEN}", [], None, f"cf-aig-authorization.{TOKEN}"
    ),
    "elevenlabs agent": Offer(
        "elevenlabs", "?agent_id=a", f"cf-aig-authorization.{TOKEN}, convai, bearer.t",
        ["convai", "bearer.t"], "convai", "convai",
    ),
    "elevenlabs key": Offer(
        "elevenlabs", "?agent_id=a", f"xi-api-key.k, cf-aig-authorization.{TOKEN}",
        [], None, "xi-api-key.k", {"xi-api-key": "k"},
    ),
    "deepgram": Offer(
        "deepgram", "/v1/listen", f"token, key-1, cf-aig-authorization.{TOKEN}", ["token", "key-1"], "token", "token"
    ),
    "fal key": Offer(
        "fal", "/fal-ai/app/realtime", f"fal-api-key.id%3Asecret, cf-aig-authorization.{TOKEN}",
        [], None, "fal-api-key.id%3Asecret", {"authorization": "Key id:secret"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFERS)
def test_subprotocols_that_are_meant_for_the_gateway(relay: Stage, name: str) -> None:
    offer = OFFERS[name]
    client = relay.client(offer.slug, offer.rest, f"Sec-WebSocket-Protocol: {offer.offered}", gateway="closed")
    provider = relay.provider()
    head = provider.get_head()
    assert protocols(head) == offer.seen
    for field, value in offer.fields.items():
        assert head.get(field) == value
    assert TOKEN not in head.first + str(head.fields)
    relay.admit(provider, *([f"Sec-WebSocket-Protocol: {offer.selected}"] if offer.selected else []))
    assert client.get_head().status == 101, client.get_body()
    assert client.get_head().get("sec-websocket-protocol") == offer.told
    assert client.get_head().get("sec-websocket-accept") == accept_value(KEY)


# ---- what goes to the provider -----------------------------------------------------------------------------------


def test_what_the_provider_is_asked(relay: Stage) -> None:
    client = relay.client(
        "openai",
        "/realtime?model=m%2F1&x=%C3%A9&empty=",
        "AUTHORIZATION: Bearer sk-1",
        "OpenAI-Beta: realtime=v1",
        "Content-Type: application/json",
        "Origin: https://app.example",
        "cf-aig-metadata: {}",
        "CF-AIG-Collect-Log: false",
        "X-Hop: for the gateway only",
        "Connection: X-Hop",
        "Keep-Alive: timeout=5",
        "Proxy-Authorization: Basic eDp5",
    )
    provider = relay.provider()
    head = provider.get_head()
    assert head.first == "GET /v1/realtime?model=m%2F1&x=%C3%A9&empty= HTTP/1.1"
    for name, value in {
        "authorization": "Bearer sk-1",
        "openai-beta": "realtime=v1",
        "content-type": "application/json",
        "origin": "https://app.example",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
    }.items():
        got = head.get(name)
        assert got is not None, name
        assert got.lower() == value.lower()
    assert not [name for name, _ in head.fields if name.startswith("cf-aig-")]
    for name in ("x-hop", "keep-alive", "proxy-authorization", "sec-websocket-extensions"):
        assert head.all(name) == []
    assert "gateway.example" not in (head.get("host") or "")
    relay.admit(provider)
    assert client.get_head().status == 101


# ---- what comes early --------------------------------------------------------------------------------------------


def test_first_frames_glued_to_the_handshakes(stage: Stage) -> None:
    """No first frame is lost in a thousand sessions, many of which open at once; and none stays open."""
    for first in range(0, stage.sessions, AT_ONCE):
        names = [f"m{number}" for number in range(first, first + AT_ONCE)]
        clients = {
            name: stage.client(
                "openai", f"?model={name}", behind=frame(FIN | TEXT, b"early " + name.encode(), masked=True)
            )
            for name in names
        }
        for _ in names:
            provider = stage.provider()
            name = provider.get_head().target.rpartition("=")[2]
            stage.admit(provider, behind=provider.whole(Message(TEXT, b"created " + name.encode())))
            client = clients.pop(name)
            assert provider.text() == f"early {name}"
            assert client.text() == f"created {name}"
            part(client, provider)


def test_everything_in_one_segment(stage: Stage) -> None:
    """A client that says all it has to say before it has its 101; and a provider that does the same in its answer."""
    words = [(FIN | TEXT, b"hello"), (BINARY, b"half"), (FIN, b"s"), (FIN | CLOSE, close_payload(4001, b"that is all"))]
    client = stage.client(behind=b"".join(frame(head, payload, masked=True) for head, payload in words))
    provider = stage.provider()
    stage.admit(provider, behind=provider.whole(Message(TEXT, b"welcome")) + provider.whole(Message(BINARY, b"")))
    assert provider.message() == Message(TEXT, b"hello")
    assert provider.message() == Message(BINARY, b"halfs")
    assert provider.got_close() == (4001, b"that is all")
    provider.close(4001)
    assert client.get_head().status == 101
    assert client.message() == Message(TEXT, b"welcome")
    assert client.message() == Message(BINARY, b"")
    assert client.got_close() == (4001, b"")


def test_a_provider_that_ends_the_session_in_its_answer(stage: Stage) -> None:
    client = stage.client()
    provider = stage.provider()
    error = provider.whole(Message(TEXT, b'{"type":"error"}'))
    stage.admit(provider, behind=error + provider.frame(FIN | 8, b"\x0b\xb8no quota"))
    assert client.get_head().status == 101
    assert client.message() == Message(TEXT, b'{"type":"error"}')
    assert client.got_close() == (3000, b"no quota")


def test_much_that_comes_early(stage: Stage) -> None:
    client = stage.client()
    provider = stage.provider()
    early = [Message(BINARY, bytes((number,)) * 100_000) for number in range(20)]
    client.send(*map(client.whole, early))
    stage.settle()
    assert provider.is_quiet or not stage.is_relay, "frames before the handshake was over"
    stage.admit(provider)
    assert [provider.message() for _ in early] == early


def test_handshakes_that_come_octet_by_octet(stage: Stage) -> None:
    client = stage.client("openai", "?model=m", "X-Padding: " + "x" * 300, octets=True)
    client.say("early")
    provider = stage.provider()
    key = provider.get_head().get("sec-websocket-key")
    assert key is not None
    for octet in response(key, "X-Padding: " + "y" * 300) + provider.whole(Message(TEXT, b"created")):
        provider.send(bytes((octet,)))
    assert client.get_head().status == 101
    assert client.text() == "created"
    assert provider.text() == "early"


# ---- refusals ----------------------------------------------------------------------------------------------------

REFUSALS = {
    "401": ("401 Unauthorized", {"www-authenticate": 'Bearer realm="api"'}),
    "403": ("403 Forbidden", {"x-request-id": "req_1"}),
    "429": ("429 Too Many Requests", {"retry-after": "17", "x-ratelimit-reset-requests": "17s"}),
    "500": ("500 Internal Server Error", {"x-request-id": "req_2"}),
}


def body_of(size: int) -> bytes:
    return json.dumps({"error": {"message": "né " * size, "price": 1.10}}, ensure_ascii=False).encode()


@pytest.mark.parametrize("form", ["length", "chunked", "until the end", "empty", "large"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal(stage: Stage, name: str, form: str) -> None:
    status_line, fields = REFUSALS[name]
    body = b"" if form == "empty" else body_of(10_000 if form == "large" else 1)
    client = stage.client()
    provider = stage.provider()
    lines = [f"HTTP/1.1 {status_line}", "Content-Type: application/json; charset=utf-8"]
    lines += [f"{field}: {value}" for field, value in fields.items()]
    wire = body
    if form == "chunked":
        lines.append("Transfer-Encoding: chunked")
        wire = b"".join(b"1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body))) + b"0\r\n\r\n"
    elif form != "until the end":
        lines.append(f"Content-Length: {len(body)}")
    provider.send("\r\n".join([*lines, "", ""]).encode() + wire)
    provider.wire.end_sending()
    assert client.get_body() == body
    head = client.get_head()
    assert head.status == int(name)
    assert head.get("content-type") == "application/json; charset=utf-8"
    for field, value in fields.items():
        assert head.get(field) == value
    if stage.is_relay:
        provider.broke()


def expect_error(relay: Stage, client_status: int, *, slug: str = "openai", rest: str = "?model=m") -> None:
    client = relay.client(slug, rest)
    body = json.loads(client.get_body())
    assert client.get_head().status == client_status
    assert body["error"], body


def test_a_provider_that_cannot_be_reached(relay: Stage) -> None:
    expect_error(relay, 502, slug=GONE, rest="/tts/websocket")


def test_a_refusal_to_peers_that_do_not_hang_up(hurried: Stage) -> None:
    client = hurried.client()
    hurried.provider().send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert client.get_body() == b"no"
    hurried.all_released()


@pytest.mark.parametrize("length", ["Content-Length: 500000000", "Transfer-Encoding: chunked", "X-Length: none"])
def test_a_refusal_without_end(relay: Stage, length: str) -> None:
    """What there is of it is not kept; that it is a refusal reaches the client."""
    client = relay.client()
    provider = relay.provider()
    provider.send(f"HTTP/1.1 403 Forbidden\r\n{length}\r\n\r\n".encode())
    size = 1 << 20
    part = (b"%x\r\n" % size if "chunked" in length else b"") + bytes(size) + b"\r\n" * ("chunked" in length)
    with relay.steady(2 << 20):
        for _ in range(100):
            provider.send(part)
        body = client.get_body()
        assert client.get_head().status in (403, 502)
        assert len(body) <= 1 << 20
        provider.broke()


NO_WEBSOCKET = {
    "200": "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello",
    "204": "HTTP/1.1 204 No Content\r\n\r\n",
    "another protocol": "SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: web",
    "nothing": "",
    "a wrong accept value": (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    ),
    "no accept value": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "no upgrade": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
    "a subprotocol that nobody offered": (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: soap\r\n\r\n"
    ),
    "an extension that nobody offered": (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    ),
    "an endless head": "HTTP/1.1 101 Switching Protocols\r\n" + "X: y\r\n" * 50_000,
}


@pytest.mark.parametrize("name", NO_WEBSOCKET)
def test_a_provider_that_speaks_no_websocket(relay: Stage, name: str) -> None:
    client = relay.client()
    provider = relay.provider()
    key = provider.get_head().get("sec-websocket-key")
    assert key is not None
    provider.send(NO_WEBSOCKET[name].replace("{accept}", accept_value(key)).encode())
    provider.wire.end_sending()
    assert json.loads(client.get_body())["error"]
    assert client.get_head().status == 502
    provider.broke()


def test_a_provider_that_hangs_up(relay: Stage) -> None:
    client = relay.client()
    relay.provider().wire.reset()
    assert json.loads(client.get_body())["error"]
    assert client.get_head().status == 502


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/1.1 401 No\r\n"])
def test_a_provider_that_is_silent(hurried: Stage, answer: bytes) -> None:
    client = hurried.client()
    provider = hurried.provider()
    provider.send(answer)
    assert json.loads(client.get_body())["error"]
    assert client.get_head().status == 504
    provider.broke()


def test_a_provider_that_never_accepts_a_connection() -> None:
    stage = MemoryStage(relay=True)
    stage.listener.faults = Faults(silent=True)
    client = stage.client()
    assert json.loads(client.get_body())["error"]
    assert client.get_head().status == 504
    assert 8.0 < stage.world.time < 10.0, "clients give up after 10 s"
    stage.finish()


def test_without_a_token_nobody_asks_the_provider(relay: Stage) -> None:
    client = relay.client(gateway="closed")
    assert json.loads(client.get_body())["error"][0]["code"] == 2009
    assert client.get_head().status == 401


# ---- a client that leaves ----------------------------------------------------------------------------------------

DEPARTURES = ["reset", "close", "end_sending"]


@pytest.mark.parametrize("how", DEPARTURES)
def test_a_client_that_leaves_before_the_provider_has_answered(relay: Stage, how: str) -> None:
    client = relay.client()
    provider = relay.provider()
    getattr(client.wire, how)()
    provider.broke()


@pytest.mark.parametrize("how", DEPARTURES)
def test_a_client_that_leaves_while_the_provider_answers(relay: Stage, how: str) -> None:
    client = relay.client()
    provider = relay.provider()
    getattr(client.wire, how)()
    relay.admit(provider, behind=provider.whole(Message(TEXT, b"welcome")))
    provider.broke()


@pytest.mark.parametrize("how", DEPARTURES)
def test_a_client_that_leaves_before_the_provider_is_reached(how: str) -> None:
    stage = MemoryStage(relay=True)
    stage.listener.faults = Faults(silent=True)
    client = stage.client()
    stage.world.advance(0.5)
    getattr(client.wire, how)()
    stage.world.advance(0.1)
    assert not stage.checked.open_links
    stage.finish()
