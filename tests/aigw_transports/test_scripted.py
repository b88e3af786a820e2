from __future__ import annotations

import pytest

from aigw_proto._effects import TlsPolicy
from aigw_proto._inputs import ConnectFailure
from aigw_transports.memory import Faults, Listener, Peer, World


@pytest.fixture
def world() -> World:
    return World()


def meet(world: World, faults: Faults | None = None) -> tuple[Peer, Peer]:
    """Return a peer that connected and the peer it reached."""
    listener = world.listen("host", 80)
    client = world.peer("host", 80, faults=faults)
    world.run(until=lambda: client.connected)
    return client, listener.peers[0]


def test_two_peers_talk(world: World) -> None:
    client, server = meet(world)
    client.send(b"hello")
    server.send(b"welcome")
    world.run()
    assert (server.received, client.received) == (b"hello", b"welcome")
    client.send(b", world")
    world.run()
    assert (server.received, server.received_bytes) == (b"hello, world", 12)
    assert server.take() == b"hello, world"
    assert (server.received, server.received_bytes) == (b"", 12)


def test_what_is_done_before_the_connection_opens_waits_for_it(world: World) -> None:
    listener = world.listen("host", 80)
    client = world.peer("host", 80, tls=TlsPolicy())
    client.send(b"early")
    client.end_sending()
    client.close()
    world.run()
    assert client.connected
    assert listener.peers[0].received == b"early"
    assert listener.peers[0].eof
    assert listener.peers[0].tls == TlsPolicy()


def test_a_peer_that_resets_before_it_is_connected_never_comes(world: World) -> None:
    listener = world.listen("host", 80)
    world.peer("host", 80).reset()
    world.run()
    assert listener.peers == []


def test_a_peer_that_resets_while_the_answer_is_under_way(world: World) -> None:
    listener = world.listen("host", 80)
    client = world.peer("host", 80)
    world.run(until=lambda: bool(listener.peers))
    client.reset()
    world.run()
    assert listener.peers[0].broken


def test_ends_are_told_apart(world: World) -> None:
    client, server = meet(world)
    ends: list[str] = []
    server.on_end = lambda: ends.append("server")
    client.end_sending()
    world.run()
    assert (server.eof, server.broken) == (True, False)
    server.reset()
    world.run()
    assert (client.eof, client.broken) == (False, True)
    assert ends == ["server"]


def test_reacting_at_once(world: World) -> None:
    def echo(peer: Peer) -> None:
        peer.on_data = peer.send

    world.listen("host", 80, on_peer=echo)
    client = world.peer("host", 80)
    client.send(b"hello")
    world.run(until=lambda: client.received == b"hello")


def test_a_peer_that_does_not_read(world: World) -> None:
    client, server = meet(world, faults=Faults(buffer_bytes=10))
    server.set_reading(False)
    client.send(bytes(30))
    world.run()
    assert (server.received_bytes, client.unsent) == (0, 20)
    server.set_reading(True, bytes_per_second=5.0)
    started = world.time
    world.run()
    assert (server.received_bytes, client.unsent) == (30, 0)
    assert world.time - started >= 4.0


def test_a_peer_may_stop_reading_before_it_is_connected(world: World) -> None:
    world.listen("host", 80, on_peer=lambda peer: peer.send(b"welcome"))
    client = world.peer("host", 80)
    client.set_reading(False)
    world.run()
    assert client.connected
    assert client.received == b""


@pytest.mark.parametrize(
    ("name", "port", "faults", "failure"),
    [
        ("nowhere", 80, Faults(), ConnectFailure.NAME),
        ("host", 81, Faults(), ConnectFailure.REFUSED),
        ("host", 80, Faults(refuse=1.0), ConnectFailure.REFUSED),
    ],
)
def test_connecting_fails(world: World, name: str, port: int, faults: Faults, failure: ConnectFailure) -> None:
    world.listen("host", 80)
    client = world.peer(name, port, faults=faults)
    world.run()
    assert client.failure is failure
    assert client.detail == f"{name}:{port}: {failure.value}"
    assert not client.connected


def test_a_listener_that_closed_refuses(world: World) -> None:
    listener = world.listen("host", 80)
    listener.closed = True
    client = world.peer("host", 80)
    world.run()
    assert client.failure is ConnectFailure.REFUSED


def test_a_bad_certificate_matters_to_tls_only(world: World) -> None:
    world.listen("host", 443, bad_certificate=True)
    plain = world.peer("host", 443)
    secure = world.peer("host", 443, tls=TlsPolicy())
    world.run()
    assert plain.connected
    assert secure.failure is ConnectFailure.CERTIFICATE


def test_a_silent_host_never_answers(world: World) -> None:
    world.listen("host", 80, faults=Faults(silent=True))
    client = world.peer("host", 80)
    world.run()
    assert not client.connected
    assert client.failure is None


def test_a_listener_is_known_by_name_and_port(world: World) -> None:
    assert isinstance(world.listen("host", 80), Listener)
    with pytest.raises(ValueError, match="host:80 is taken"):
        world.listen("host", 80)


def test_a_peer_has_news_until_it_has_seen_everything() -> None:
    world = World()
    listener = world.listen("there", 1, faults=Faults(latency_seconds=1.0))
    peer = world.peer("there", 1)
    news: dict[str, bool] = {"before": peer.has_news}
    world.run()
    far = listener.peers[0]
    far.send(b"hello")
    news["on its way"] = peer.has_news
    peer.set_reading(False)
    world.run()
    news["not read"] = peer.has_news
    peer.set_reading(True)
    world.run()
    news["read"] = peer.has_news
    peer.set_reading(False)
    far.reset()
    world.run()
    news["broken"] = peer.has_news
    peer.set_reading(True)
    world.run()
    news["told"] = peer.has_news
    expected = {"before": False, "on its way": True, "not read": True, "read": False, "broken": True, "told": False}
    assert news == expected
    assert peer.broken


def test_what_is_not_read_is_counted() -> None:
    world = World()
    listener = world.listen("there", 1)
    peer = world.peer("there", 1)
    assert peer.unread_bytes == 0
    peer.set_reading(False)
    world.run()
    listener.peers[0].send(b"hello")
    world.run()
    assert (peer.unread_bytes, peer.received) == (5, b"")
    peer.set_reading(True)
    world.run()
    assert (peer.unread_bytes, peer.received) == (0, b"hello")
