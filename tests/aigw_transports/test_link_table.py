from __future__ import annotations

from aigw_proto._effects import CloseHow
from aigw_proto._kinds import LinkId
from aigw_transports._link_table import LinkTable

ONE, TWO = LinkId(0), LinkId(1)


class Noting:
    """A link that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def send(self, chunks: list[bytes]) -> int:
        self.told.append(chunks)
        return len(chunks)

    def set_reading(self, enabled: bool) -> None:
        self.told.append(enabled)

    def end_sending(self) -> None:
        self.told.append("end")

    def close(self, how: CloseHow) -> None:
        self.told.append(how)


def test_each_link_is_told_what_is_meant_for_it() -> None:
    table = LinkTable()
    one, two = Noting(), Noting()
    table._links[ONE], table._links[TWO] = one, two
    assert table.send(ONE, [b"a", b"b"]) == 2
    table.set_reading(TWO, False)
    table.end_sending(TWO)
    table.close(ONE, CloseHow.ABORT)
    assert one.told == [[b"a", b"b"], CloseHow.ABORT]
    assert two.told == [False, "end"]
    assert list(table._links) == [TWO]
