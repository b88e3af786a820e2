"""Playbooks of a realtime session: what each side says and is told as lines to compare.

`Relay().opened()` brings a session to where messages go both ways. Frames are written and read by hand
(`support.frames`), so that what goes through is compared octet by octet. The client's link is 0, the provider's is 1.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from typing import Any, Self

from wsproto.utilities import generate_accept_token

from aigw_proto._effects import CloseHow, CloseLink, Connect, EndSending, Journal, SendBytes
from aigw_proto._inputs import BytesReceived, Input, LinkAccepted, LinkConnected, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import GatewayConfig, GatewayEngine, SessionRecord, TurnRecord
from aigw_proto.providers import ProviderTable
from aigw_proto.testing import Checked, Placeholder, Playbook
from support.frames import frame, parse
from support.rig import base_url, gateway_config

CLIENT = LinkId(0)
PROVIDER = LinkId(1)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, PING, PONG = 0x81, 0x82, 0x89, 0x8A
_WORDS = {0x0: "more", 0x1: "text", 0x2: "binary", 0x8: "close", 0x9: "ping", 0xA: "pong"}


def realtime_config(**fields: Any) -> GatewayConfig:
    """Return a configuration in which the realtime side of every built-in provider is `ws://provider`."""
    table = ProviderTable.builtin().redirected(base_url("http://provider"))
    return dataclasses.replace(gateway_config(**fields), providers=table)


def close(code: int | None = None, reason: str = "") -> bytes:
    """Return the payload of a Close."""
    return b"" if code is None else struct.pack("!H", code) + reason.encode()


class Relay(Playbook[Input]):
    """A playbook with a client that asks for a provider's WebSocket."""

    def __init__(self, config: GatewayConfig | None = None, **limits: Any) -> None:
        self.config = config or realtime_config(limits=limits)
        self.engine = GatewayEngine(self.config, random_bytes=random.Random(1).randbytes, epoch_unix_seconds=1.8e9)
        self.request = b""
        super().__init__(Checked(self.engine))

    def arrived(self) -> Self:
        """Let the client's connection come; `with` may follow later."""
        self.__enter__()
        self.feed(LinkAccepted(CLIENT, "192.0.2.1:4000")).expect()
        return self

    def connecting(self, target: str = "/v1/acc/default/openai?model=m", *headers: str, rest: bytes = b"") -> Self:
        """Let the client ask, up to where the provider's link is being opened."""
        self.arrived()
        self.feed(BytesReceived(CLIENT, upgrade(target, *headers) + rest))
        self.expect(Connect(PROVIDER, "provider", 80))
        return self

    def asked(self, target: str = "/v1/acc/default/openai?model=m", *headers: str, rest: bytes = b"") -> Self:
        """Let the client ask, up to where the provider was sent its request."""
        self.connecting(target, *headers, rest=rest)
        self.feed(LinkConnected(PROVIDER))
        self.request = self.sent(PROVIDER)
        return self

    def opened(self, target: str = "/v1/acc/default/openai?model=m", *headers: str) -> Self:
        """Let the client ask and the provider accept."""
        self.asked(target, *headers)
        self.feed(BytesReceived(PROVIDER, self.accepting()))
        assert self.sent(CLIENT).startswith(b"HTTP/1.1 101 ")
        return self

    def accepting(self, *headers: str) -> bytes:
        """Return the provider's 101."""
        key = self.field("sec-websocket-key")
        lines = ["Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {generate_accept_token(key.encode()).decode()}")
        return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines, *headers, "", ""]).encode()

    def field(self, name: str) -> str:
        """Return a header field of the request that the provider got."""
        return field_of(self.request, name)

    def from_client(self, *frames: bytes) -> Self:
        """Let the client send."""
        self.feed(BytesReceived(CLIENT, b"".join(frames)))
        return self

    def from_provider(self, *frames: bytes) -> Self:
        """Let the provider send."""
        self.feed(BytesReceived(PROVIDER, b"".join(frames)))
        return self

    def client_says(self, head: int, payload: bytes = b"") -> Self:
        """Let the client send one frame."""
        return self.from_client(frame(head, payload))

    def provider_says(self, head: int, payload: bytes = b"") -> Self:
        """Let the provider send one frame."""
        return self.from_provider(frame(head, payload, masked=False))

    def ends(self, link: LinkId, *, clean: bool = True) -> Self:
        """Let the stream of a link end."""
        self.feed(PeerClosed(link, clean))
        return self


def upgrade(target: str, *headers: str) -> bytes:
    """Return a client's upgrade request."""
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: gateway",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


def field_of(head: bytes, name: str) -> str:
    """Return the value of a header field; empty when it is not there."""
    for line in head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def told(link: LinkId, *lines: str) -> SendBytes:
    """Expect frames to one side: `text hi`, `text… hi` when it is not the last of its message, `close 1000 bye`."""

    def check(data: bytes) -> bool:
        actual = [_line(*each) for each in parse(data)]
        assert actual == list(lines), f"link {link} is told {actual}, not {list(lines)}"
        return True

    return SendBytes(link, [Placeholder[bytes](" | ".join(lines), check).here])


def _line(head: int, payload: bytes) -> str:
    word = _WORDS[head & 0x0F] + ("" if head & 0x80 else "…")
    if head == 0x88:
        code = f" {int.from_bytes(payload[:2], 'big')}" if payload else ""
        payload = payload[2:]
        word += code
    return f"{word} {payload.decode('utf-8', 'backslashreplace')}".rstrip()


def refused(status: int, *parts: str) -> SendBytes:
    """Expect an HTTP answer to the client that holds these texts."""

    def check(data: bytes) -> bool:
        text = data.decode("latin-1")
        assert text.startswith(f"HTTP/1.1 {status} "), text
        for part in parts:
            assert part in text, f"{part!r} is not in {text!r}"
        return True

    return SendBytes(CLIENT, [Placeholder[bytes](f"{status} {parts}", check).here])


def session(**fields: object) -> Journal:
    """Expect the record of the session, with these fields among others."""
    return _journal(SessionRecord, fields)


def turn(**fields: object) -> Journal:
    """Expect the record of a turn, with these fields among others."""
    return _journal(TurnRecord, fields)


def _journal(kind: type, fields: dict[str, object]) -> Journal:
    def check(entry: object) -> bool:
        if not isinstance(entry, kind):
            return False
        for name, value in fields.items():
            actual = getattr(entry, name)
            actual = getattr(actual, "value", actual)
            assert actual == value, f"the record says {name} = {actual!r}, not {value!r}"
        return True

    return Journal(Placeholder[object](f"{kind.__name__} {fields}", check).here)


def flushed(link: LinkId) -> CloseLink:
    """Expect that a link is closed behind what is queued."""
    return CloseLink(link, CloseHow.FLUSH)


def cut(link: LinkId) -> CloseLink:
    """Expect that a link is closed at once."""
    return CloseLink(link, CloseHow.ABORT)


def finished(link: LinkId) -> EndSending:
    """Expect that sending ends on a link."""
    return EndSending(link)
