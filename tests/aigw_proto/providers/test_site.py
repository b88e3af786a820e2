"""Where WebSockets are, and where they go when an operator moves them."""

from __future__ import annotations

import pytest

from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._dialect import Dialect
from aigw_proto.providers._site import (
    RealtimeRule,
    RealtimeSite,
    custom_site,
    moved_site,
    pointed_site,
    redirected_site,
)


def wss(path: str, host: str = "llm.example") -> BaseUrl:
    return BaseUrl(True, host, 443, path)


OPENAI = RealtimeSite(wss("/v1"), "/v1/realtime", RealtimeRule.OPENAI, Dialect.OPENAI_REALTIME)
CARTESIA = RealtimeSite(wss(""), "/tts/websocket", RealtimeRule.PLAIN, Dialect.CARTESIA)
FAL = RealtimeSite(wss("", "ws.fal.example"), "", RealtimeRule.FAL, Dialect.FAL, other=wss("", "fal.example"))
NEW = BaseUrl(False, "127.0.0.1", 9000, "/new/v1")


@pytest.mark.parametrize(
    ("path", "prefix", "bare"),
    [
        ("/v1/realtime", "/v1", "/v1/realtime"),
        ("/realtime", "", "/realtime"),
        ("/speech", "/speech", "/speech"),
        ("/a/realtime/b", "/a/realtime/b", "/a/realtime/b"),
        ("/xrealtime", "/xrealtime", "/xrealtime"),
        ("", "", "/"),
    ],
)
def test_custom(path: str, prefix: str, bare: str) -> None:
    site = custom_site(wss(path))
    assert (site.base, site.bare) == (wss(prefix), bare)
    assert (site.rule, site.dialect) == (RealtimeRule.OPENAI, Dialect.UNKNOWN)


def test_moving_along_with_the_base_url() -> None:
    moved = moved_site(OPENAI, wss("/v1"), NEW)
    assert (moved.base, moved.bare) == (NEW, "/new/v1/realtime")
    assert (moved.rule, moved.dialect) == (OPENAI.rule, OPENAI.dialect)
    assert moved_site(CARTESIA, wss(""), NEW).bare == "/new/v1/tts/websocket"
    assert OPENAI.bare == "/v1/realtime"


def test_a_prefix_of_its_own_stays() -> None:
    moved = moved_site(OPENAI, wss("/api"), NEW)
    assert (moved.base, moved.bare) == (BaseUrl(False, "127.0.0.1", 9000, "/v1"), "/v1/realtime")


def test_two_servers_become_one() -> None:
    moved = moved_site(FAL, wss("", "fal.example"), NEW)
    assert (moved.base, moved.other, moved.bare) == (NEW, NEW, "")
    assert moved_site(OPENAI, wss("/v1"), NEW).other is None


@pytest.mark.parametrize(
    ("site", "path", "prefix", "bare"),
    [
        (OPENAI, "", "/v1", "/v1/realtime"),
        (OPENAI, "/v1/realtime", "/v1", "/v1/realtime"),
        (OPENAI, "/openai/v1/realtime", "/openai/v1", "/openai/v1/realtime"),
        (OPENAI, "/realtime", "", "/realtime"),
        (OPENAI, "/chat", "/chat", "/chat"),
        (CARTESIA, "", "", "/tts/websocket"),
        (CARTESIA, "/p/tts/websocket", "/p", "/p/tts/websocket"),
        (CARTESIA, "/realtime", "/realtime", "/realtime"),
        (FAL, "", "", ""),
        (FAL, "/p/realtime", "/p/realtime", ""),
    ],
)
def test_a_url_of_the_operator_s(site: RealtimeSite, path: str, prefix: str, bare: str) -> None:
    url = BaseUrl(False, "rt.example", 81, path)
    pointed = pointed_site(site, url)
    assert (pointed.base, pointed.bare) == (BaseUrl(False, "rt.example", 81, prefix), bare)
    assert pointed.other == (None if site.other is None else pointed.base)


def test_redirecting_keeps_the_paths() -> None:
    to = BaseUrl(False, "127.0.0.1", 9000, "/mock")
    assert redirected_site(OPENAI, to).base == BaseUrl(False, "127.0.0.1", 9000, "/mock/v1")
    assert redirected_site(OPENAI, to).bare == "/mock/v1/realtime"
    assert redirected_site(FAL, to).other == to
    root = redirected_site(custom_site(wss("")), to)
    assert (root.base, root.bare) == (to, "/mock/")
