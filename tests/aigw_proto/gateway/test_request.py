from __future__ import annotations

import pytest

from support.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_whole_answer(rig: Rig) -> None:
    client = rig.client()
    client.create("a", "custom-hand", "v1/x", query={"n": 1})
    provider = rig.provider()
    provider.answer(b'{"x": 1.10}')
    rig.run(lambda: client.ended("a"))
    assert client.types("a") == ["created"]
    assert '"response":{"x": 1.10}' in client.texts[0]


def test_streams(rig: Rig) -> None:
    client = rig.client()
    client.create("a", query={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello there"}]})
    rig.run(lambda: client.ended("a"))
    assert client.types("a")[0] == "created"
    assert client.types("a")[-1] == "done"
    assert len(client.types("a")) > 3
