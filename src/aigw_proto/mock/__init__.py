"""A fake AI provider as an engine, with faults on demand: the embedded default upstream and the tests' opponent.

It answers in the dialects of OpenAI (and the many who speak it), Anthropic, Gemini, Workers AI, Cohere and Bedrock, on
any host and under any path prefix; on WebSockets in those of OpenAI, Gemini, ElevenLabs, Cartesia, Deepgram and fal.
The answer repeats the prompt, so that a test can tell requests apart. Three request headers steer it: `x-aigw-mock:
SPEC` asks for a fault (see `MockFault`), `x-aigw-mock-key` names the requests that `times=K` counts together, and
`x-aigw-mock-echo: 1` answers with the request itself as JSON, or on a WebSocket with every message as it came
(`request`: first with the request).
"""

from __future__ import annotations

from ._engine import MockEngine
from ._faults import MockFault, parse_fault
from ._limits import MockLimits
from ._record import MockRecord

__all__ = ["MockEngine", "MockFault", "MockLimits", "MockRecord", "parse_fault"]
