"""Google's Python SDK: live sessions. It makes `wss://` of every base URL."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("google.genai")

from google.genai import Client, errors, types
from websockets.exceptions import InvalidStatus

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from google.genai.live import AsyncSession

    from .conftest import Site

MODEL = "gemini-live"
SAYING = "Grüße, 日本"


def client(site: Site, *, gateway: str = "open", key: str = CLIENT_KEY, **options: Any) -> Client:
    base = site.base_url("google-ai-studio", gateway)
    return Client(api_key=key, http_options=types.HttpOptions(base_url=base, **options))


async def turn(session: AsyncSession) -> tuple[str, int]:
    """Return what the model says until its turn is complete, and how many tokens were counted."""
    text, tokens = "", 0
    async for message in session.receive():
        text += message.text or ""
        if message.usage_metadata is not None:
            tokens = message.usage_metadata.total_token_count or 0
    return text, tokens


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_live(tls_site: Site, version: str) -> None:
    async def main() -> None:
        google = client(tls_site, api_version=version)
        config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
        async with google.aio.live.connect(model=MODEL, config=config) as session:
            assert session.setup_complete is not None
            for saying in (SAYING, "And then?"):
                await session.send_client_content(
                    turns=types.Content(role="user", parts=[types.Part(text=saying)]), turn_complete=True
                )
                text, tokens = await turn(session)
                assert saying in text
                assert tokens > 0

    asyncio.run(main())
    (ended,) = tls_site.sessions()
    assert ended["path"] == f"/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
    assert ended["closed_by"] == "client"
    assert len(tls_site.turns(2)) == 2


def test_live_audio(tls_site: Site) -> None:
    async def main() -> None:
        async with client(tls_site).aio.live.connect(model=MODEL) as session:
            for _ in range(10):
                await session.send_realtime_input(audio=types.Blob(data=bytes(3200), mime_type="audio/pcm;rate=16000"))
            await session.send_realtime_input(audio_stream_end=True)
            await turn(session)

    asyncio.run(main())
    (ended,) = tls_site.sessions()
    assert ended["client_bytes"] > len(base64.b64encode(bytes(32000)))


@pytest.mark.parametrize("token_as_key", [True, False])
def test_the_gateways_token(tls_site: Site, *, token_as_key: bool) -> None:
    async def main() -> None:
        key, headers = (TOKEN, {}) if token_as_key else (CLIENT_KEY, {"cf-aig-authorization": TOKEN})
        async with client(tls_site, gateway="closed", key=key, headers=headers).aio.live.connect(
            model=MODEL
        ) as session:
            assert session.setup_complete is not None

    asyncio.run(main())


@pytest.mark.parametrize(("gateway", "headers"), [("closed", {}), ("open", {"x-aigw-mock": "status=401"})])
def test_a_refusal(tls_site: Site, gateway: str, headers: dict[str, str]) -> None:
    async def main() -> None:
        with pytest.raises(InvalidStatus) as caught:
            async with client(tls_site, gateway=gateway, headers=headers).aio.live.connect(model=MODEL):
                pass
        assert caught.value.response.status_code == 401

    asyncio.run(main())


@pytest.mark.parametrize("code", [1007, 1008])
def test_a_close_of_the_provider(tls_site: Site, code: int) -> None:
    """The SDK makes its error from code and reason."""

    async def main() -> None:
        headers = {"x-aigw-mock": f"close={code},close_reason=API key not valid,close_after=1"}
        async with client(tls_site, headers=headers).aio.live.connect(model=MODEL) as session:
            with pytest.raises(errors.APIError) as caught:
                await turn(session)
        assert caught.value.code == code
        assert "API key not valid" in str(caught.value)

    asyncio.run(main())
