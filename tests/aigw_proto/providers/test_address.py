"""Base URLs and private hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.providers._address import (
    BaseUrl,
    is_dot_segment,
    is_private_host,
    parse_base_url,
    parse_realtime_url,
)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("https://api.openai.com/v1", BaseUrl(True, "api.openai.com", 443, "/v1")),
        ("https://API.Example.COM", BaseUrl(True, "api.example.com", 443, "")),
        ("HTTPS://a.example/", BaseUrl(True, "a.example", 443, "")),
        ("http://127.0.0.1:9000/x/y/", BaseUrl(False, "127.0.0.1", 9000, "/x/y")),
        ("http://[::1]:8080", BaseUrl(False, "::1", 8080, "")),
        ("https://[2001:DB8::1]/v1", BaseUrl(True, "2001:db8::1", 443, "/v1")),
        ("http://localhost", BaseUrl(False, "localhost", 80, "")),
        ("http://my_host-1:80", BaseUrl(False, "my_host-1", 80, "")),
        ("https://xn--mnchen-3ya.de.:1", BaseUrl(True, "xn--mnchen-3ya.de.", 1, "")),
        ("https://h:/", BaseUrl(True, "h", 443, "")),
        ("https://h/a/{account}/b%2F", BaseUrl(True, "h", 443, "/a/{account}/b%2F")),
    ],
)
def test_base_urls(text: str, base: BaseUrl) -> None:
    assert parse_base_url(text) == base


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("wss://api.openai.com/v1/realtime", BaseUrl(True, "api.openai.com", 443, "/v1/realtime")),
        ("WS://127.0.0.1:9000/x/", BaseUrl(False, "127.0.0.1", 9000, "/x")),
        ("ws://h", BaseUrl(False, "h", 80, "")),
        ("wss://h/{account}/x", BaseUrl(True, "h", 443, "/{account}/x")),
    ],
)
def test_realtime_urls(text: str, base: BaseUrl) -> None:
    assert parse_realtime_url(text) == base


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://h/x", "begins with wss:// or ws://"),
        ("h/x", "begins with wss:// or ws://"),
        ("wss://u:p@h", "without user name"),
        ("wss://h/x?y=1", "without query"),
        ("wss://h/../x", "without dot segments"),
        ("wss://127.1", "host name"),
    ],
)
def test_bad_realtime_urls(text: str, problem: str) -> None:
    result = parse_realtime_url(text)
    assert isinstance(result, str)
    assert problem in result


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with https:// or http://"),
        ("api.openai.com/v1", "begins with https:// or http://"),
        ("//host/x", "begins with https:// or http://"),
        ("ws://host", "begins with https:// or http://"),
        ("file:///etc/passwd", "begins with https:// or http://"),
        ("https://", "with a host name"),
        ("https:///x", "with a host name"),
        ("https://a..b", "with a host name"),
        ("https://-a", "with a host name"),
        ("https://" + "a" * 64, "with a host name"),
        ("https://" + "a." * 127 + "a", "with a host name"),
        ("https://127.1", "with a host name"),
        ("https://2130706433", "with a host name"),
        ("https://0x7f.0.0.1", "with a host name"),
        ("https://010.0.0.1", "with a host name"),
        ("https://1.2.3.4.", "with a host name"),
        ("https://a.0x1", "with a host name"),
        ("https://[fe80::1%25eth0]", "with a host name"),
        ("https://h%2Fx", "with a host name"),
        ("https://[::1", "expected a URL: "),
        ("https://[zz]", ""),
        ("https://h:0", "a port from 1 to 65535"),
        ("https://h:65536", "expected a URL: "),
        ("https://h:x", "expected a URL: "),
        ("https://user@h", "without user name and password"),
        ("https://user:p@h", "without user name and password"),
        ("https://@h", "without user name and password"),
        ("https://h?x", "without query and fragment"),
        ("https://h/?", "without query and fragment"),
        ("https://h#x", "without query and fragment"),
        ("https://h/a/../b", "without dot segments"),
        ("https://h/%2E%2e/b", "without dot segments"),
        ("https://h//b", "one slash at its beginning"),
        ("https://h/a b", "without spaces and special characters"),
        ("https://h\\@evil/", "without spaces and special characters"),
        ("https://h\n", "without spaces and special characters"),
        ("https://münchen.de", "punycode"),
        ("https://h/{other}", "without spaces and special characters"),
    ],
)
def test_refused_base_urls(text: str, problem: str) -> None:
    result = parse_base_url(text)
    assert isinstance(result, str)
    assert result.startswith("expected ")
    assert problem in result


@given(st.text(max_size=30) | st.from_regex(r"https?://[\[\]a-f0-9.:@%/?#{}x-]{0,20}", fullmatch=True))
def test_any_text_is_a_base_url_or_a_problem(text: str) -> None:
    result = parse_base_url(text)
    assert isinstance(result, str) or (result.host and 0 < result.port < 65536 and not result.path.endswith("/"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "api.localhost",
        "127.0.0.1",
        "127.8.9.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "010.0.0.1",
        "::1",
        "[::1]",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:a00:1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_private_hosts(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com",
        "localhost.example.com",
        "notlocalhost",
        "8.8.8.8",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::",
        "a1.example",
    ],
)
def test_public_hosts(host: str) -> None:
    assert not is_private_host(host)


@pytest.mark.parametrize(
    "segment",
    [".", "..", "%2e", "%2E.", ".%2e", "..%2fx", "x%5C..", "%2e%2F", "a\\..", "..;", "..;a=b", "%2e.%3bx", ".;"],
)
def test_dot_segments(segment: str) -> None:
    assert is_dot_segment(segment)


@pytest.mark.parametrize("segment", ["", "...", "a.", ".a", "..a", "%252e", "a%2fb", "%2", "a;..", ";..", "...;"])
def test_other_segments(segment: str) -> None:
    assert not is_dot_segment(segment)
