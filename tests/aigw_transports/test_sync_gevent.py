"""The sync driver works unchanged under gevent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aigw_proto.testing import SCENARIOS

TESTS = Path(__file__).parents[1]


def test_all_of_it_under_gevent(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "error", "-m", "support.on_gevent", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{len(SCENARIOS)} scenarios",
        *["100 right answers", "True"] * 2,
        "[]",
    ]
