"""Deepgram's Python SDK: listening (also by turns), and speaking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("deepgram")

from deepgram import AsyncDeepgramClient, DeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v2.types.listen_v2turn_info import ListenV2TurnInfo
from deepgram.speak.v1.types.speak_v1flushed import SpeakV1Flushed
from deepgram.speak.v1.types.speak_v1text import SpeakV1Text

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from .conftest import Site

# Its asynchronous client takes the `websockets` package's old client.
pytestmark = pytest.mark.filterwarnings("ignore:websockets.*:DeprecationWarning")

SECOND = bytes(32000)  # of linear16 at 16 kHz


def environment(site: Site, gateway: str) -> DeepgramClientEnvironment:
    http, socket = site.base_url("deepgram", gateway), site.socket_url("deepgram", gateway)
    return DeepgramClientEnvironment(base=http, production=socket, agent=socket, agent_rest=http)


def client(site: Site, *, gateway: str = "open", key: str = CLIENT_KEY, **headers: str) -> DeepgramClient:
    return DeepgramClient(api_key=key, environment=environment(site, gateway), headers=dict(headers))


def test_listening(site: Site) -> None:
    with client(site).listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as socket:
        for _ in range(3):
            socket.send_media(SECOND)
        socket.send_keep_alive()
        socket.send_finalize()
        socket.send_close_stream()
        messages = list(socket)
    results = [message for message in messages if isinstance(message, ListenV1Results)]
    assert any(result.is_final and result.channel.alternatives[0].transcript for result in results)
    assert isinstance(messages[-1], ListenV1Metadata)
    assert messages[-1].duration == pytest.approx(3.0)
    (session,) = site.sessions()
    assert session["model"] == "nova-3"
    assert session["client_bytes"] > 3 * len(SECOND)
    assert sum(turn["audio_seconds"] for turn in site.turns()) == pytest.approx(3.0)


def test_listening_asynchronously(site: Site) -> None:
    async def main() -> None:
        deepgram = AsyncDeepgramClient(api_key=CLIENT_KEY, environment=environment(site, "open"))
        async with deepgram.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as socket:
            await socket.send_media(SECOND)
            await socket.send_finalize()
            assert isinstance(await socket.recv(), ListenV1Results)
            await socket.send_close_stream()

    asyncio.run(main())


def test_listening_by_turns(site: Site) -> None:
    with client(site).listen.v2.connect(model="flux-general-en", encoding="linear16", sample_rate=16000) as socket:
        for _ in range(3):
            socket.send_media(SECOND)
        socket.send_close_stream()
        turns = [message for message in socket if isinstance(message, ListenV2TurnInfo)]
    assert turns[-1].event == "EndOfTurn"
    assert turns[-1].transcript
    (turn,) = site.turns()
    assert (turn["event"], turn["model"]) == ("TurnInfo", "flux-general-en")


def test_speaking(site: Site) -> None:
    with client(site).speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=16000) as socket:
        socket.send_text(SpeakV1Text(type="Speak", text="Hello, world"))
        socket.send_flush()
        audio = 0
        for message in socket:
            if isinstance(message, bytes):
                audio += len(message)
            elif isinstance(message, SpeakV1Flushed):
                break
        assert audio > 0
        socket.send_close()
    assert site.sessions()[0]["provider_bytes"] > audio


@pytest.mark.parametrize("token_as_key", [True, False])
def test_the_gateways_token(site: Site, *, token_as_key: bool) -> None:
    key, headers = (TOKEN, {}) if token_as_key else (CLIENT_KEY, {"cf-aig-authorization": TOKEN})
    deepgram = client(site, gateway="closed", key=key, **headers)
    with deepgram.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as socket:
        socket.send_close_stream()
        assert any(isinstance(message, ListenV1Metadata) for message in socket)


@pytest.mark.parametrize(("gateway", "headers"), [("closed", {}), ("open", {"x-aigw-mock": "status=401"})])
def test_a_refusal(site: Site, gateway: str, headers: dict[str, str]) -> None:
    async def main() -> None:
        deepgram = AsyncDeepgramClient(api_key=CLIENT_KEY, environment=environment(site, gateway), headers=headers)
        with pytest.raises(ApiError, match="invalid credentials") as caught:
            async with deepgram.listen.v1.connect(model="nova-3"):
                pass
        assert caught.value.status_code == 401

    asyncio.run(main())
