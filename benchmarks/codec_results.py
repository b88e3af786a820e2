"""Runs `codec.py` on the build that is there and on the pure one, each in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from processes import HERE
from rounds import Options, Result

BUILDS = {"": {}, "pure build, ": {"AIGW_PURE": "1"}}


def run(options: Options) -> Result:
    """Measure frames."""
    result = Result("codec", reference="aigw")
    for label, environment in BUILDS.items():
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "codec.json"
            command = [
                sys.executable,
                os.fspath(HERE / "codec.py"),
                "--rounds",
                str(options.rounds),
                "--json",
                os.fspath(file),
            ]
            subprocess.run(command, env={**os.environ, **environment}, check=True)
            measured: dict[str, dict[str, list[float]]] = json.loads(file.read_text())
        for case, contenders in measured.items():
            for name, values in contenders.items():
                for nanoseconds in values:
                    result.add(label + case, name, {"ns": nanoseconds})
    return result
