from __future__ import annotations

import dataclasses
from typing import get_args

from aigw_proto import _inputs
from aigw_proto._inputs import ConnectFailure, Input, LinkConnected, ShutdownRequested
from aigw_proto._kinds import LinkId


def test_every_input_but_the_shutdown_names_its_link_first() -> None:
    for kind in get_args(Input):
        first = dataclasses.fields(kind)[0].name
        assert first == ("grace_seconds" if kind is ShutdownRequested else "link")


def test_the_union_holds_everything_that_is_exported() -> None:
    assert {kind.__name__ for kind in get_args(Input)} == set(_inputs.__all__) - {"ConnectFailure", "Input"}


def test_failures_are_explained_to_people() -> None:
    assert all(" " in failure.value for failure in ConnectFailure)


def test_a_link_may_have_no_negotiated_protocol() -> None:
    assert LinkConnected(LinkId(1)) == LinkConnected(LinkId(1), None)
