"""OpenAI's Python SDK: realtime, realtime as in its beta, and responses."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("openai")

from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from openai.types.realtime import RealtimeServerEvent
    from openai.types.websocket_reconnection import ReconnectingEvent, ReconnectingOverrides

    from .conftest import Site

SAYING = "Grüße, 日本 and 1e400"


def client(site: Site, gateway: str = "open", key: str = CLIENT_KEY) -> OpenAI:
    return OpenAI(api_key=key, base_url=site.base_url("openai", gateway), max_retries=0)


def async_client(site: Site, gateway: str = "open", key: str = CLIENT_KEY) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=site.base_url("openai", gateway), max_retries=0)


def test_realtime(site: Site) -> None:
    with client(site).realtime.connect(model="gpt-realtime") as connection:
        assert connection.recv().type == "session.created"
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert connection.recv().type == "session.updated"
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": SAYING}]}
        )
        connection.response.create()
        text, counted = "", 0
        for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.done":
                assert event.response.usage is not None
                counted = event.response.usage.total_tokens or 0
                break
        assert SAYING in text
        assert counted > 0
    (session,) = site.sessions()
    assert session["status"] == 101
    assert session["model"] == "gpt-realtime"
    assert session["closed_by"] == "client"
    assert session["client_close"] == 1000
    (turn,) = site.turns()
    assert turn["event"] == "response.done"
    assert sum(turn["tokens"].values()) >= counted


def test_realtime_with_events_and_much_audio(site: Site) -> None:
    """Fifteen MiB are what OpenAI takes in one message."""

    async def main() -> None:
        async with async_client(site).realtime.connect(model="gpt-realtime") as connection:
            seen: list[RealtimeServerEvent] = []
            connection.on("event", seen.append)
            done = asyncio.Event()

            def committed(_event: RealtimeServerEvent) -> None:
                done.set()

            connection.on("input_audio_buffer.committed", committed)
            listening = asyncio.create_task(connection.dispatch_events())
            await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(15 << 18) * 4).decode())
            await connection.input_audio_buffer.commit()
            await done.wait()
            await connection.close()
            await listening
            assert seen[0].type == "session.created"

    asyncio.run(main())
    (session,) = site.sessions()
    assert session["client_bytes"] > 20 << 20


def test_realtime_as_in_the_beta(site: Site) -> None:
    """It makes `wss://` of the base URL for HTTP, but takes one for WebSockets."""
    openai = client(site).with_options(websocket_base_url=site.socket_url("openai"))
    with openai.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        assert connection.recv().type == "session.created"
        connection.response.create()
        for event in connection:
            if event.type == "response.done":
                break
    assert site.sessions()[0]["closed_by"] == "client"


def test_responses(site: Site) -> None:
    with client(site).responses.connect() as connection:
        for saying in ("first", "second"):
            connection.response.create(model="gpt-5", input=saying)
            text = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type == "response.completed":
                    assert event.response.usage is not None
                    assert event.response.usage.total_tokens > 0
                    break
            assert saying in text
    assert [turn["event"] for turn in site.turns(2)] == ["response.completed"] * 2


def test_azure(site: Site) -> None:
    async def main() -> None:
        azure = AsyncAzureOpenAI(
            api_key=CLIENT_KEY,
            api_version="2025-04-01-preview",
            azure_endpoint=site.base_url("azure-openai/resource"),
            websocket_base_url=site.socket_url("azure-openai/resource/openai"),
        )
        async with azure.realtime.connect(model="deployment") as connection:
            assert (await connection.recv()).type == "session.created"

    asyncio.run(main())
    assert site.sessions()[0]["path"] == "/openai/realtime"


@pytest.mark.parametrize("token_as_key", [True, False])
def test_the_gateways_token(site: Site, *, token_as_key: bool) -> None:
    """As its key, where it is told apart from a key and replaced by the stored one; or in a header of its own."""
    key, headers = (TOKEN, {}) if token_as_key else (CLIENT_KEY, {"cf-aig-authorization": f"Bearer {TOKEN}"})
    with client(site, "closed", key).realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
        assert connection.recv().type == "session.created"


def test_no_token(site: Site) -> None:
    with pytest.raises(InvalidStatus) as caught, client(site, "closed").realtime.connect(model="gpt-realtime"):
        pass
    assert caught.value.response.status_code == 401
    assert b"2009" in (caught.value.response.body or b"")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_refusal_of_the_provider(site: Site, status: int) -> None:
    headers = {"x-aigw-mock": f"status={status}"}
    with (
        pytest.raises(InvalidStatus) as caught,
        client(site).realtime.connect(model="gpt-realtime", extra_headers=headers),
    ):
        pass
    assert caught.value.response.status_code == status
    assert b"error" in (caught.value.response.body or b"")
    assert site.sessions()[0]["status"] == status


@pytest.mark.parametrize(("code", "reason"), [(3000, "invalid_request_error.session"), (1008, "policy")])
def test_a_close_of_the_provider(site: Site, code: int, reason: str) -> None:
    headers = {"x-aigw-mock": f"close={code},close_reason={reason},close_after=1"}
    with client(site).realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
        assert connection.recv().type == "session.created"
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
    (session,) = site.sessions()
    assert (session["closed_by"], session["provider_close"]) == ("provider", code)


@pytest.mark.parametrize("fault", ["close=1011,close_after=1", "cut_after=1"])
def test_connecting_again(site: Site, fault: str) -> None:
    """What the SDK takes for worth another try, a provider's 1011 or a lost connection, looks so behind a gateway."""
    lost: list[int] = []

    def reconnecting(event: ReconnectingEvent) -> ReconnectingOverrides:
        lost.append(event.close_code)
        return {"extra_headers": {}}

    with client(site).realtime.connect(
        model="gpt-realtime",
        extra_headers={"x-aigw-mock": fault},
        on_reconnecting=reconnecting,
        initial_delay=0.01,
    ) as connection:
        created = 0
        for event in connection:
            if event.type == "session.created":
                created += 1
                if created == 2:
                    connection.response.create()
            elif event.type == "response.done":
                break
    assert lost == [1011]
    assert [session["sent_to_client"] for session in site.sessions(2)] == [1011, 1000]
