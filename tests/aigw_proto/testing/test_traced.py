from __future__ import annotations

from aigw_proto._effects import CloseHow, CloseLink, Connect, SendBytes, TlsPolicy
from aigw_proto._inputs import BytesReceived, Input, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_proto.testing import ToyEngine, Traced, describe

LINK = LinkId(0)


def test_records_are_described_on_one_line() -> None:
    assert describe(CloseLink(LINK, CloseHow.ABORT)) == "CloseLink(link=0, how=ABORT)"
    assert describe(Connect(LinkId(1), "host", 80, TlsPolicy(), ("h2", "http/1.1"))) == (
        "Connect(link=1, host='host', port=80, tls=TlsPolicy(ca_file=None), alpn=('h2', 'http/1.1'))"
    )
    assert describe(SendBytes) == repr(SendBytes)


def test_long_values_are_cut() -> None:
    assert describe(BytesReceived(LINK, b"x" * 61)) == f"BytesReceived(link=0, data={b'x' * 60!r}+1)"
    assert describe(b"x" * 60) == repr(b"x" * 60)
    assert describe(list(range(9))) == "[0, 1, 2, 3, 4, 5, 6, 7, and 1 more]"
    assert describe(SendBytes(LINK, [b"a", b"b"])) == "SendBytes(link=0, chunks=[b'a', b'b'])"


class Answering(ToyEngine):
    def received(self, event: Input) -> None:
        self.send(LINK, b"hi")
        self.deadline = 2.0

    def woken(self) -> None:
        self.close(LINK)


def test_what_passes_is_written() -> None:
    lines: list[str] = []
    engine = Traced(Answering(), "gateway", lines.append)
    engine.handle(PeerClosed(LINK, clean=True), 1.0)
    while engine.poll() is not None:
        pass
    assert engine.next_timeout() == 2.0
    engine.handle_timeout(2.0)
    while engine.poll() is not None:
        pass
    assert lines == [
        "1.000000 gateway < PeerClosed(link=0, clean=True)",
        "1.000000 gateway > SendBytes(link=0, chunks=[b'hi'])",
        "2.000000 gateway < wake",
        "2.000000 gateway > CloseLink(link=0, how=FLUSH)",
    ]
