from __future__ import annotations

import subprocess
import sys

import aigw_proto.testing.strategies as published

WITHOUT = """
import sys
sys.modules["hypothesis"] = None
import aigw_proto.testing
assert "aigw_proto.testing.strategies" not in sys.modules
try:
    import aigw_proto.testing.strategies
except ImportError as error:
    print(error)
"""


def test_all_that_is_published_is_there() -> None:
    for name in published.__all__:
        assert getattr(published, name).__doc__


def test_the_kit_works_without_hypothesis_and_the_strategies_say_what_is_missing() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == ("aigw_proto.testing.strategies needs Hypothesis: install aigw[testing], or hypothesis\n")
