"""The programs that people use realtime APIs with: what each sends to a gateway, and what has to become of it.

`K` stands for the provider's key, `TOKEN` is the gateway's.
"""

from __future__ import annotations

import dataclasses

__all__ = ["CLIENTS", "ELEVENLABS", "GOOGLE", "LIVE", "OPENAI", "TOKEN", "Client"]

TOKEN = "gateway-token"
LIVE = "ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
GOOGLE = f"wss://generativelanguage.googleapis.com/{LIVE}"
BEARER = (("authorization", "Bearer K"),)
OPENAI = "wss://api.openai.com/v1/"
ELEVENLABS = "wss://api.elevenlabs.io/v1/"
MULTI = "text-to-speech/V/multi-stream-input?model_id=m"
INSECURE = ("realtime", "openai-insecure-api-key.K")


@dataclasses.dataclass
class Client:
    """One program: what it sends, and what is made of it. `headers` pass as they are when `becomes` is None."""

    name: str
    target: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    offers: tuple[str, ...] = ()
    becomes: tuple[tuple[str, str], ...] | None = None
    offered: tuple[str, ...] | None = None
    secret: str | None = "K"


CLIENTS = [
    Client(
        "py openai realtime", "/openai/realtime?model=m", OPENAI + "realtime?model=m", (*BEARER, ("user-agent", "x"))
    ),
    Client(
        "py openai beta",
        "/openai/realtime?model=m",
        OPENAI + "realtime?model=m",
        (*BEARER, ("openai-beta", "realtime=v1")),
    ),
    Client("py openai responses", "/openai/responses", OPENAI + "responses", BEARER),
    Client("py openai-agents", "/openai/realtime?model=m", OPENAI + "realtime?model=m", BEARER),
    Client("py openai-agents with headers", "/openai?model=m", OPENAI + "realtime?model=m", (), secret=None),
    Client(
        "py google-genai",
        f"/google-ai-studio/{LIVE}",
        GOOGLE,
        (("x-goog-api-key", "K"), ("content-type", "application/json")),
    ),
    Client(
        "py google-genai v1alpha",
        "/google-ai-studio/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent",
        GOOGLE.replace("v1beta", "v1alpha"),
        (("x-goog-api-key", "K"),),
    ),
    Client(
        "py elevenlabs speech",
        "/elevenlabs/v1/text-to-speech/VOICE/stream-input?model_id=m&output_format=mp3_44100_128",
        ELEVENLABS + "text-to-speech/VOICE/stream-input?model_id=m&output_format=mp3_44100_128",
        (("xi-api-key", "K"),),
    ),
    Client(
        "py elevenlabs conversation",
        "/elevenlabs/v1/convai/conversation?agent_id=A&source=python_sdk&version=2.78.0",
        ELEVENLABS + "convai/conversation?agent_id=A&source=python_sdk&version=2.78.0",
        secret=None,
    ),
    Client(
        "py elevenlabs scribe",
        "/elevenlabs/v1/speech-to-text/realtime?model_id=scribe_v2",
        ELEVENLABS + "speech-to-text/realtime?model_id=scribe_v2",
        (("xi-api-key", "K"),),
    ),
    Client(
        "py cartesia speech",
        "/cartesia/tts/websocket",
        "wss://api.cartesia.ai/tts/websocket",
        (*BEARER, ("cartesia-version", "2025-04-16")),
    ),
    Client(
        "py cartesia listening",
        "/cartesia/stt/websocket?model=ink-whisper&language=en",
        "wss://api.cartesia.ai/stt/websocket?model=ink-whisper&language=en",
        BEARER,
    ),
    Client(
        "py deepgram",
        "/deepgram/v1/listen?model=nova-3&keyterm=a&keyterm=b",
        "wss://api.deepgram.com/v1/listen?model=nova-3&keyterm=a&keyterm=b",
        (("authorization", "Token K"),),
    ),
    Client(
        "py deepgram flux",
        "/deepgram/v2/listen?model=flux",
        "wss://api.deepgram.com/v2/listen?model=flux",
        (("authorization", "Token K"),),
    ),
    Client(
        "py deepgram speak", "/deepgram/v1/speak", "wss://api.deepgram.com/v1/speak", (("authorization", "Token K"),)
    ),
    Client(
        "py fal-client realtime",
        "/fal/fal-ai/fast-lcm-diffusion/realtime",
        "wss://fal.run/fal-ai/fast-lcm-diffusion/realtime",
        (("authorization", "Key K"),),
    ),
    Client(
        "py fal-client with a token",
        "/fal/fal-ai/x/realtime?fal_jwt_token=K",
        "wss://fal.run/fal-ai/x/realtime?fal_jwt_token=K",
    ),
    Client("py fal-client", "/fal/fal-ai/x", "wss://ws.fal.run/fal-ai/x", (("authorization", "Key K"),)),
    Client("pipecat OpenAI", "/openai?model=m", OPENAI + "realtime?model=m", BEARER),
    Client("pipecat Gemini", f"/google-ai-studio/{LIVE}", GOOGLE, (("x-goog-api-key", "K"),)),
    Client(
        "pipecat Cartesia",
        "/cartesia",
        "wss://api.cartesia.ai/tts/websocket",
        (("X-API-Key", "K"), ("Cartesia-Version", "2025-04-16")),
        becomes=(("x-api-key", "K"), ("cartesia-version", "2025-04-16")),
    ),
    Client("pipecat ElevenLabs", "/elevenlabs/v1/" + MULTI, ELEVENLABS + MULTI, (("xi-api-key", "K"),)),
    Client(
        "pipecat Deepgram",
        "/deepgram/v1/listen?model=nova-3",
        "wss://api.deepgram.com/v1/listen?model=nova-3",
        (("authorization", "Token K"),),
    ),
    Client("livekit OpenAI", "/openai?model=m", OPENAI + "realtime?model=m", BEARER),
    Client("livekit OpenAI below v1", "/openai/v1/realtime?model=m", OPENAI + "realtime?model=m", BEARER),
    Client(
        "livekit Cartesia",
        "/cartesia/tts/websocket?cartesia_version=2025-04-16",
        "wss://api.cartesia.ai/tts/websocket?cartesia_version=2025-04-16",
        (("x-api-key", "K"),),
    ),
    Client("livekit ElevenLabs", "/elevenlabs/v1/" + MULTI, ELEVENLABS + MULTI, (("xi-api-key", "K"),)),
    Client("js openai ws", "/openai/realtime?model=m", OPENAI + "realtime?model=m", BEARER),
    Client(
        "js openai native",
        "/openai/realtime?model=m",
        OPENAI + "realtime?model=m",
        offers=(*INSECURE, "openai-organization.o", "openai-project.p"),
    ),
    Client(
        "js agents-realtime node",
        "/openai/realtime?model=m",
        OPENAI + "realtime?model=m",
        (*BEARER, ("x-openai-agents-sdk", "openai-agents-sdk.0.20")),
    ),
    Client(
        "js agents-realtime browser",
        "/openai/realtime?model=m",
        OPENAI + "realtime?model=m",
        (("origin", "https://app.example"),),
        (*INSECURE, "openai-agents-sdk.0.20.0"),
    ),
    Client("js genai", f"/google-ai-studio/{LIVE}?key=K", GOOGLE + "?key=K"),
    Client("js genai, base URL with a slash", f"/google-ai-studio//{LIVE}?key=K", GOOGLE + "?key=K"),
    Client(
        "js cartesia",
        "/cartesia/tts/websocket",
        "wss://api.cartesia.ai/tts/websocket",
        (*BEARER, ("cartesia-version", "2025-04-16")),
    ),
    Client(
        "js deepgram",
        "/deepgram/v1/speak?model=aura-2-thalia-en&encoding=linear16",
        "wss://api.deepgram.com/v1/speak?model=aura-2-thalia-en&encoding=linear16",
        (("authorization", "Token K"),),
    ),
    Client(
        "deepgram in a browser",
        "/deepgram/v1/listen?model=nova-3",
        "wss://api.deepgram.com/v1/listen?model=nova-3",
        offers=("token", "K"),
    ),
    Client(
        "deepgram in a browser, short-lived",
        "/deepgram/v1/listen",
        "wss://api.deepgram.com/v1/listen",
        offers=("bearer", "K"),
    ),
    Client(
        "js elevenlabs scribe",
        "/elevenlabs/v1/speech-to-text/realtime?model_id=s",
        ELEVENLABS + "speech-to-text/realtime?model_id=s",
        (("xi-api-key", "K"),),
    ),
    Client(
        "js elevenlabs client",
        "/elevenlabs/v1/convai/conversation?agent_id=A&source=js_sdk&version=1.25",
        ELEVENLABS + "convai/conversation?agent_id=A&source=js_sdk&version=1.25",
        offers=("convai",),
        secret=None,
    ),
    Client(
        "js elevenlabs client with a token",
        "/elevenlabs/v1/convai/conversation?agent_id=A",
        ELEVENLABS + "convai/conversation?agent_id=A",
        offers=("convai", "bearer.K"),
    ),
    Client(
        "js elevenlabs client, signed",
        "/elevenlabs/v1/convai/conversation?agent_id=A&conversation_signature=K&source=js_sdk",
        ELEVENLABS + "convai/conversation?agent_id=A&conversation_signature=K&source=js_sdk",
        offers=("convai",),
    ),
    Client(
        "js fal client",
        "/fal/fal-ai/x/realtime?fal_jwt_token=K",
        "wss://fal.run/fal-ai/x/realtime?fal_jwt_token=K",
    ),
    # the examples of the documented service
    Client(
        "OpenAI, documented", "/openai?model=m", OPENAI + "realtime?model=m", (*BEARER, ("openai-beta", "realtime=v1"))
    ),
    Client("Google, documented", "/google?api_key=K", GOOGLE + "?key=K"),
    Client(
        "Cartesia, documented",
        "/cartesia?cartesia_version=2024-06-10&api_key=K",
        "wss://api.cartesia.ai/tts/websocket?cartesia_version=2024-06-10&api_key=K",
        offers=(f"cf-aig-authorization.{TOKEN}",),
        offered=(),
    ),
    Client(
        "ElevenLabs, documented",
        "/elevenlabs?agent_id=A",
        ELEVENLABS + "convai/conversation?agent_id=A",
        offers=("xi-api-key.K", f"cf-aig-authorization.{TOKEN}"),
        becomes=(("xi-api-key", "K"),),
        offered=(),
    ),
    Client(
        "Fal, documented",
        "/fal/fal-ai/fast-lcm-diffusion",
        "wss://ws.fal.run/fal-ai/fast-lcm-diffusion",
        offers=("fal-api-key.i%3AK", f"cf-aig-authorization.{TOKEN}"),
        becomes=(("authorization", "Key i:K"),),
        offered=(),
        secret="i:K",
    ),
    Client(
        "Deepgram on Workers AI, documented",
        "/workers-ai?model=@cf/deepgram/nova-3&encoding=linear16&sample_rate=16000&interim_results=true",
        "wss://api.cloudflare.com/client/v4/accounts/acc/ai/run/@cf/deepgram/nova-3"
        "?encoding=linear16&sample_rate=16000&interim_results=true",
        secret=None,
    ),
    Client(
        "OpenAI in a browser, observed",
        "/openai?model=m",
        OPENAI + "realtime?model=m",
        offers=(*INSECURE, f"cf-aig-authorization.{TOKEN}", "openai-beta.realtime-v1"),
        offered=(*INSECURE, "openai-beta.realtime-v1"),
    ),
    Client(
        "py openai for Azure",
        "/azure-openai/res/openai/realtime?api-version=2025-04-01-preview&deployment=d",
        "wss://res.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=d",
        (("api-key", "K"),),
    ),
    Client(
        "js openai for Azure in a browser",
        "/azure-openai/res/openai/realtime?api-version=1&deployment=d&api-key=K",
        "wss://res.openai.azure.com/openai/realtime?api-version=1&deployment=d&api-key=K",
        offers=("realtime",),
    ),
    Client(
        "grok in a browser",
        "/grok?model=m",
        "wss://api.x.ai/v1/realtime?model=m",
        offers=("xai-client-secret.K",),
    ),
]
