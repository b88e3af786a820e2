from __future__ import annotations

import dataclasses
import logging
from typing import get_args

from aigw_proto import _effects
from aigw_proto._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Deliver,
    Drained,
    Effect,
    Journal,
    Log,
    LogLevel,
    TlsPolicy,
)
from aigw_proto._kinds import LinkId

LINKLESS = {Journal, Log, Deliver, Drained}


def test_every_effect_on_a_link_names_it_first() -> None:
    for kind in get_args(Effect):
        names = [field.name for field in dataclasses.fields(kind)]
        assert ("link" in names) == (kind not in LINKLESS)
        assert "link" not in names or names[0] == "link"


def test_the_union_holds_everything_that_is_exported() -> None:
    others = {"CloseHow", "Effect", "LogLevel", "TlsPolicy"}
    assert {kind.__name__ for kind in get_args(Effect)} == set(_effects.__all__) - others


def test_levels_are_those_of_the_standard_library() -> None:
    assert all(logging.getLevelName(int(level)) == level.name for level in LogLevel)


def test_defaults() -> None:
    link = LinkId(1)
    assert CloseLink(link).how is CloseHow.FLUSH
    assert Connect(link, "host", 80) == Connect(link, "host", 80, None, ())
    assert TlsPolicy().ca_file is None
    assert Log(LogLevel.INFO, "line", {}).exception is None
