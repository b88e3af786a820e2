"""Cartesia's Python SDK: speech in contexts, several of them on one socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("cartesia")

from cartesia import AsyncCartesia, Cartesia
from websockets.exceptions import InvalidStatus

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from cartesia.types import RawOutputFormatParam, VoiceSpecifierParam

    from .conftest import Site

VOICE: VoiceSpecifierParam = {"id": "a-voice"}
FORMAT: RawOutputFormatParam = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}


def client(site: Site, *, gateway: str = "open", key: str = CLIENT_KEY) -> Cartesia:
    return Cartesia(api_key=key, websocket_base_url=site.socket_url("cartesia", gateway), max_retries=0)


def test_speech(site: Site) -> None:
    with client(site).tts.websocket_connect() as connection:
        context = connection.context(model_id="sonic-3", voice=VOICE, output_format=FORMAT)
        context.push("Hello, ")
        context.push("world. Grüße!")
        context.no_more_inputs()
        audio = 0
        for message in context.receive():
            if message.type == "chunk":
                audio += len(message.audio or b"")
        assert audio > 0
    (session,) = site.sessions()
    assert session["path"] == "/tts/websocket"
    assert session["closed_by"] == "client"
    assert site.turns()[0]["event"] == "done"


def test_speech_in_two_contexts_at_once(site: Site) -> None:
    async def main() -> None:
        cartesia = AsyncCartesia(api_key=CLIENT_KEY, websocket_base_url=site.socket_url("cartesia"))
        async with cartesia.tts.websocket_connect() as connection:
            contexts = [
                connection.context(name, model_id="sonic-3", voice=VOICE, output_format=FORMAT)
                for name in ("first", "second")
            ]
            for context in contexts:
                await context.push("Hello")
            for context in contexts:
                await context.no_more_inputs()
            for context in contexts:
                types = [message.type async for message in context.receive()]
                assert "chunk" in types

    asyncio.run(main())
    assert len(site.turns(2)) == 2


@pytest.mark.parametrize("token_as_key", [True, False])
def test_the_gateways_token(site: Site, *, token_as_key: bool) -> None:
    key, headers = (TOKEN, {}) if token_as_key else (CLIENT_KEY, {"cf-aig-authorization": TOKEN})
    with client(site, gateway="closed", key=key).tts.websocket_connect(extra_headers=headers) as connection:
        context = connection.context(model_id="sonic-3", voice=VOICE, output_format=FORMAT)
        context.push("Hello")
        context.no_more_inputs()
        assert any(message.type == "chunk" for message in context.receive())


@pytest.mark.parametrize(("gateway", "headers"), [("closed", {}), ("open", {"x-aigw-mock": "status=401"})])
def test_a_refusal(site: Site, gateway: str, headers: dict[str, str]) -> None:
    with (
        pytest.raises(InvalidStatus) as caught,
        client(site, gateway=gateway).tts.websocket_connect(extra_headers=headers),
    ):
        pass
    assert caught.value.response.status_code == 401
