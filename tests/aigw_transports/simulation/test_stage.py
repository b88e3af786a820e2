from __future__ import annotations

import pytest

from aigw_proto.client import (
    ClosedBy,
    ConnectionLost,
    OpenFailed,
    OpenRefused,
    RequestNotSent,
    StreamBroken,
    StreamFinished,
)
from aigw_proto.gateway import GatewaySettings, RequestRecord, SessionRecord
from aigw_transports.memory import Faults, World
from aigw_transports.simulation import Stage

WORDS = "one two three four"
QUERY = {"model": "m", "messages": [{"role": "user", "content": WORDS}]}
STREAM = {**QUERY, "stream": True}


def test_a_whole_answer() -> None:
    world = World(1)
    stage = Stage(world)
    client = stage.client()
    answer = client.ask("openai", "chat/completions", QUERY, event_id="mine")
    assert (answer.end, answer.error, answer.response, answer.metadata) == (None, None, None, None)
    world.run(until=lambda: answer.ended)
    assert isinstance(answer.response, dict)
    assert WORDS in str(answer.response)
    assert answer.metadata is not None
    assert answer.metadata.event_id == "mine"
    assert answer.error is None
    (record,) = stage.gateway.journaled
    assert isinstance(record, RequestRecord)


def test_a_stream() -> None:
    world = World(1)
    client = Stage(world).client()
    answers = [client.ask("openai", "chat/completions", STREAM) for _ in range(3)]
    world.run(until=lambda: all(answer.ended for answer in answers))
    for answer in answers:
        assert isinstance(answer.end, StreamFinished)
        assert len(answer.chunks) > 4
        assert answer.error is None


def test_a_provider_that_is_cut_in_mid_stream() -> None:
    world = World(7)
    stage = Stage(world)
    answer = stage.client().ask("openai", "chat/completions", STREAM, headers={"x-aigw-mock": "chunk_delay=1"})
    world.after(2.5, stage.provider.break_links)
    world.run(until=lambda: answer.ended)
    assert isinstance(answer.end, StreamBroken)
    assert answer.error == "openai: the connection was reset"
    assert len(answer.chunks) == 3


def test_a_request_that_fails_or_comes_too_late_or_is_taken_back() -> None:
    world = World(1)
    client = Stage(world).client()
    refused = client.ask("openai", "chat/completions", QUERY, headers={"x-aigw-mock": "status=429"})
    late = client.ask("openai", "chat/completions", QUERY, headers={"x-aigw-mock": "first_byte_delay=50"}, timeout=2.0)
    twice = client.ask("openai", "chat/completions", QUERY, headers={"x-aigw-mock": "first_byte_delay=3"}, event_id="x")
    same = client.ask("openai", "chat/completions", QUERY, event_id="x")
    gone = client.ask("openai", "chat/completions", STREAM, headers={"x-aigw-mock": "chunk_delay=1"})
    world.run(until=lambda: bool(gone.items))
    client.cancel(gone)
    world.advance(100.0)
    assert isinstance(refused.response, dict)
    assert refused.error
    assert late.error == "timed out after 2.0 s"
    assert twice.error is None
    assert isinstance(same.end, RequestNotSent)
    assert "x" in (same.error or "")
    assert not gone.ended


def test_a_client_that_closes_or_is_not_let_in() -> None:
    world = World(1)
    stage = Stage(world, settings=GatewaySettings(authentication=True, tokens=("a-token-of-some-length",)))
    stranger, friend = stage.client(token="another-token"), stage.client(token="a-token-of-some-length")
    unasked = stranger.ask("openai", "chat/completions", QUERY)
    asked = friend.ask("openai", "chat/completions", QUERY, headers={"x-aigw-mock": "first_byte_delay=50"})
    world.run(until=1.0)
    friend.close(1001, "bye")
    world.run(until=5.0)
    assert isinstance(stranger.lost, OpenRefused)
    assert stranger.lost.status == 401
    assert not unasked.items
    assert isinstance(friend.lost, ConnectionLost)
    assert friend.lost.closed_by is ClosedBy.PROGRAM
    assert isinstance(asked.end, ConnectionLost)
    assert asked.error
    late = friend.host
    assert late.has_drained


def test_links_that_misbehave() -> None:
    world = World(1)
    client = Stage(world, provider_faults=Faults(refuse=1.0)).client(faults=Faults(refuse=1.0))
    world.run(until=lambda: client.lost is not None)
    assert isinstance(client.lost, OpenFailed)
    ignored = client.ask("openai", "chat/completions", QUERY)
    assert not ignored.items
    fine = Stage(World(2), provider_faults=Faults(refuse=1.0))
    answer = fine.client().ask("openai", "chat/completions", QUERY)
    fine.world.run(until=lambda: answer.ended)
    assert "refused" in (answer.error or "")


def test_a_realtime_session() -> None:
    world = World(1)
    stage = Stage(world)
    session = stage.session("elevenlabs?agent_id=a")
    session.say('{"type": "conversation_initiation_client_data"}')
    world.run(until=lambda: bool(session.messages))
    assert "conversation" in str(session.messages[0])
    session.say(b"\x00\x01")
    session.close(1000)
    world.run(until=lambda: session.lost is not None)
    assert isinstance(session.lost, ConnectionLost)
    world.advance(20.0)
    assert [type(each) for each in stage.gateway.journaled][-1] is SessionRecord


def test_a_path_that_is_none() -> None:
    with pytest.raises(ValueError, match="path"):
        Stage(World(1)).session("open ai")
