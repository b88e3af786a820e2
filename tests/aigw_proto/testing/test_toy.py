from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow, CloseLink, Connect, Drained, EndSending, SendBytes, SetReading, TlsPolicy
from aigw_proto._inputs import Input, LinkAccepted, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.testing import ToyEngine


class Everything(ToyEngine):
    def __init__(self) -> None:
        super().__init__()
        self.wakes: list[float] = []

    def received(self, event: Input) -> None:
        link = self.connect("host", 443, TlsPolicy(), ("h2",))
        self.send(link, b"a", b"b")
        self.set_reading(link, False)
        self.end_sending(link)
        self.close(link, CloseHow.ABORT)
        self.close(self.connect("host", 80))
        self.drain()

    def woken(self) -> None:
        self.wakes.append(self.now)


def test_methods_become_effects() -> None:
    engine = Everything()
    engine.handle(ShutdownRequested(0.0), 3.0)
    assert engine.now == 3.0
    with pytest.raises(RuntimeError, match="not all polled"):
        engine.handle(ShutdownRequested(0.0), 3.0)
    effects = list(iter(engine.poll, None))
    first, second = LinkId(1), LinkId(3)
    assert effects == [
        Connect(first, "host", 443, TlsPolicy(), ("h2",)),
        SendBytes(first, [b"a", b"b"]),
        SetReading(first, False),
        EndSending(first),
        CloseLink(first, CloseHow.ABORT),
        Connect(second, "host", 80),
        CloseLink(second),
        Drained(),
    ]


def test_a_deadline_comes_once() -> None:
    engine = Everything()
    engine.handle_timeout(1.0)
    engine.deadline = 5.0
    assert engine.next_timeout() == 5.0
    engine.handle_timeout(4.9)
    engine.handle_timeout(5.1)
    engine.handle_timeout(5.2)
    assert engine.wakes == [5.1]
    assert engine.next_timeout() is None


def test_an_engine_may_do_nothing() -> None:
    engine = ToyEngine()
    engine.handle(LinkAccepted(LinkId(0), "peer"), 0.0)
    engine.deadline = 0.0
    engine.handle_timeout(0.0)
    assert engine.poll() is None
