from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.client import GatewayUrl, parse_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://h", GatewayUrl(False, "h", 80, b"h", b"/")),
        ("wss://h/", GatewayUrl(True, "h", 443, b"h", b"/")),
        ("WSS://Host.example:443/v1/a/g", GatewayUrl(True, "Host.example", 443, b"Host.example", b"/v1/a/g")),
        ("ws://127.0.0.1:8787/v1/a/g?x=%20", GatewayUrl(False, "127.0.0.1", 8787, b"127.0.0.1:8787", b"/v1/a/g?x=%20")),
        ("ws://h:/p", GatewayUrl(False, "h", 80, b"h", b"/p")),
        ("ws://h?q=1", GatewayUrl(False, "h", 80, b"h", b"/?q=1")),
        ("ws://[::1]/", GatewayUrl(False, "::1", 80, b"[::1]", b"/")),
        ("wss://[2001:db8::1]:8443/", GatewayUrl(True, "2001:db8::1", 8443, b"[2001:db8::1]:8443", b"/")),
        ("ws://h//double", GatewayUrl(False, "h", 80, b"h", b"//double")),
    ],
)
def test_good_urls(text: str, expected: GatewayUrl) -> None:
    assert parse_url(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "URL: expected ws://"),
        ("h:8787/v1/a/g", "URL: expected ws://"),
        ("ws:/h", "URL: expected ws://"),
        ("ws://h/ x", "URL: spaces"),
        ("ws://h/\n", "URL: spaces"),
        ("ws://" + "h" * 9000, "URL: longer"),
        ("http://h/", "scheme: expected ws or wss, got 'http' (did you mean ws://?)"),
        ("https://h/", "scheme: expected ws or wss, got 'https' (did you mean wss://?)"),
        ("ftp://h/", "scheme: expected ws or wss, got 'ftp'"),
        ("ws://h/#x", "fragment: "),
        ("ws://user:pass@h/", "user: "),
        ("ws://", "host: missing"),
        ("ws:///path", "host: missing"),
        ("ws://:80/", "host: missing"),
        ("ws://[::1/", "host: cannot read"),
        ("ws://[]/", "host: [] is not"),
        ("ws://[h]/", "host: [h] is not"),
        ("ws://bücher.example/", "host: 'bücher.example' holds"),
        ("ws://a,b/", "host: 'a,b' holds"),
        ("ws://h:0/", "port: expected"),
        ("ws://h:65536/", "port: expected"),
        ("ws://h:x/", "port: expected"),
        ("ws://h:-1/", "port: expected"),
        ("ws://h:²/", "port: expected"),
        ("ws://h:1:2/", "port: expected"),
        ("ws://h/%", "path: "),
        ("ws://h/ä", "path: "),
        ('ws://h/"', "path: "),
    ],
)
def test_bad_urls_name_the_part(text: str, complaint: str) -> None:
    said = parse_url(text)
    assert isinstance(said, str)
    assert said.startswith(complaint)


@given(st.text(max_size=40) | st.text(max_size=20).map("ws://{}".format))
def test_no_text_raises_and_what_passes_is_plain(text: str) -> None:
    parsed = parse_url(text)
    if isinstance(parsed, GatewayUrl):
        assert parsed.target.startswith(b"/")
        assert b"\r" not in parsed.target + parsed.host_header
        assert b"\n" not in parsed.target + parsed.host_header
