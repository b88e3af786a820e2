"""OpenAI's agents SDK: a realtime session that it runs itself. It takes the whole URL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("agents")

from agents.realtime import RealtimeAgent, RealtimeRunner

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from .conftest import Site


@pytest.mark.parametrize(("gateway", "key"), [("open", CLIENT_KEY), ("closed", TOKEN)], ids=["open", "closed"])
@pytest.mark.parametrize("path", ["?model=gpt-realtime", "/realtime?model=gpt-realtime"])
def test_a_session(site: Site, gateway: str, key: str, path: str) -> None:
    async def main() -> list[str]:
        runner = RealtimeRunner(RealtimeAgent(name="friend", instructions="Be kind."))
        seen: list[str] = []
        url = site.socket_url("openai", gateway) + path
        async with await runner.run(model_config={"url": url, "api_key": key}) as session:
            await session.send_message("Grüße")
            async for event in session:
                seen.append(event.type)
                if event.type in {"agent_end", "error"}:
                    break
        return seen

    seen = asyncio.run(main())
    assert "agent_start" in seen
    assert seen[-1] == "agent_end"
    (ended,) = site.sessions()
    assert (ended["path"], ended["closed_by"]) == ("/v1/realtime", "client")
