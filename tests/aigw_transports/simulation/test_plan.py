from __future__ import annotations

import random
from dataclasses import replace

from aigw_transports.memory import Faults
from aigw_transports.simulation import bad_link, is_smooth


def test_links_of_many_kinds_are_drawn() -> None:
    draw = random.Random(1)
    links = [bad_link(draw) for _ in range(1000)]
    for name in ("stall", "reset", "half_close", "refuse", "connect_seconds", "torn", "jitter_seconds"):
        values = {getattr(link, name) for link in links}
        assert len(values) > 1, name
        assert 0.0 in values, name
    assert {link.bytes_per_second for link in links} == {None, 100_000.0}
    assert 0.3 < sum(map(is_smooth, links)) / len(links) < 0.7


def test_a_link_without_trouble_is_smooth() -> None:
    draw = random.Random(2)
    assert all(is_smooth(bad_link(draw, trouble=0.0)) for _ in range(200))


def test_what_is_not_smooth() -> None:
    fine = Faults(torn=1.0, jitter_seconds=1.0, bytes_per_second=1.0)
    assert is_smooth(fine)
    changed = [
        replace(fine, stall=0.1),
        replace(fine, reset=0.1),
        replace(fine, half_close=0.1),
        replace(fine, refuse=0.1),
        replace(fine, connect_seconds=0.1),
        replace(fine, silent=True),
    ]
    assert not any(map(is_smooth, changed))
