from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

import aigw_proto.testing.strategies as published

WITHOUT = """
import sys
sys.modules["hypothesis"] = None
import aigw_proto.testing
assert "aigw_proto.testing.strategies" not in sys.modules
"""


def test_all_that_is_published_is_there() -> None:
    for name in published.__all__:
        assert getattr(published, name).__doc__


def test_the_kit_works_without_hypothesis() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], timeout=60, check=True)


def test_without_hypothesis_the_strategies_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    spec = importlib.util.spec_from_file_location("aigw_proto.testing.again", published.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.raises(ImportError, match=r"needs Hypothesis: install aigw\[testing\]"):
        spec.loader.exec_module(module)
