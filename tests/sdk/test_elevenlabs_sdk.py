"""ElevenLabs' Python SDK: speech from text, a conversation with an agent, and transcription.

The last two cannot send a header for the gateway: their key, if they have one, is all there is.
"""

from __future__ import annotations

import asyncio
import base64
import queue
import warnings
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("elevenlabs")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it names classes of the `websockets` package's old client
    from elevenlabs.conversational_ai.conversation import Conversation, DisconnectionDetails

from elevenlabs.client import ElevenLabs
from elevenlabs.realtime import AudioFormat, CommitStrategy, RealtimeEvents, ScribeRealtime
from websockets.exceptions import InvalidStatus

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Site

# It reads what the `websockets` package deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")


def client(site: Site, *, gateway: str = "open", key: str = CLIENT_KEY) -> ElevenLabs:
    return ElevenLabs(api_key=key, base_url=site.base_url("elevenlabs", gateway))


def words() -> Iterator[str]:
    yield "Hello, "
    yield "world. "
    yield "Grüße!"


@pytest.mark.parametrize(("gateway", "key"), [("open", CLIENT_KEY), ("closed", TOKEN)], ids=["open", "closed"])
def test_speech(tls_site: Site, gateway: str, key: str) -> None:
    elevenlabs = client(tls_site, gateway=gateway, key=key)
    audio = list(elevenlabs.text_to_speech.convert_realtime("a-voice", text=words(), model_id="eleven_flash_v2_5"))
    assert sum(map(len, audio)) > 0
    (session,) = tls_site.sessions()
    assert session["path"] == "/v1/text-to-speech/a-voice/stream-input"
    assert (session["closed_by"], session["provider_close"]) == ("provider", 1000)


def test_a_refusal(tls_site: Site) -> None:
    with pytest.raises(InvalidStatus) as caught:
        list(client(tls_site, gateway="closed").text_to_speech.convert_realtime("a-voice", text=words()))
    assert caught.value.response.status_code == 401


def test_a_conversation(site: Site) -> None:
    pinged: queue.Queue[int] = queue.Queue()
    said: queue.Queue[str] = queue.Queue()
    ended: queue.Queue[DisconnectionDetails] = queue.Queue()
    conversation = Conversation(
        client(site),
        "an-agent",
        requires_auth=False,
        callback_latency_measurement=pinged.put,
        callback_agent_response=said.put,
        callback_disconnect=ended.put,
    )
    conversation.start_session()
    pinged.get()  # before that there is no socket to send on
    conversation.send_user_message("Grüße")
    assert "Grüße" in said.get()
    conversation.end_session()
    assert conversation.wait_for_session_end() is not None
    assert ended.get().reason == "user"
    (session,) = site.sessions()
    assert session["path"] == "/v1/convai/conversation"
    assert session["closed_by"] == "client"


def test_transcription(site: Site) -> None:
    async def main() -> None:
        transcripts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        closed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scribe = ScribeRealtime(CLIENT_KEY, site.socket_url("elevenlabs"))
        connection = await scribe.connect(
            {
                "model_id": "scribe_v2_realtime",
                "audio_format": AudioFormat.PCM_16000,
                "sample_rate": 16000,
                "commit_strategy": CommitStrategy.MANUAL,
            }
        )
        connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT, transcripts.put_nowait)
        connection.on(RealtimeEvents.CLOSE, closed.put_nowait)
        await connection.send({"audio_base_64": base64.b64encode(bytes(32000)).decode()})
        await connection.commit()
        assert (await transcripts.get())["text"]
        await connection.close()
        assert (await closed.get())["code"] == 1000

    asyncio.run(main())
    (session,) = site.sessions()
    assert session["path"] == "/v1/speech-to-text/realtime"
