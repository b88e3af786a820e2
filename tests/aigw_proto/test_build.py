from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import aigw_proto
import aigw_transports
from aigw_proto import ws
from aigw_proto._build import SourceFinder

PACKAGE = Path(aigw_proto.__file__).parent
PATH = [str(PACKAGE)]
DRIVERS = Path(aigw_transports.__file__).parent
EXTENSIONS = [
    path.relative_to(package.parent).as_posix().partition(".")[0].replace("/", ".")
    for package in (PACKAGE, DRIVERS)
    for path in package.rglob(f"*{EXTENSION_SUFFIXES[0]}")
]
PROGRAM = """
import sys, aigw_transports.asyncio_protocol, aigw_transports.anyio
import aigw_proto.gateway, aigw_proto.client, aigw_proto.mock, aigw_proto.ws
print(aigw_proto.ws.IMPLEMENTATION)
for name, module in sorted(sys.modules.items()):
    if name.startswith("aigw_") and not module.__file__.endswith(".py"):
        print(name)
"""


def loaded(pure: str) -> list[str]:
    """Return the implementation that another process finds, and which modules are extensions there."""
    folders = os.pathsep.join(str(package.parent) for package in (PACKAGE, DRIVERS))
    environment = {**os.environ, "AIGW_PURE": pure, "PYTHONPATH": folders}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_the_variable_chooses_python() -> None:
    assert loaded("1") == ["pure"]


@pytest.mark.parametrize("value", ["", "0"])
def test_without_it_every_extension_is_loaded(value: str) -> None:
    implementation = "compiled" if EXTENSIONS else "pure"
    assert loaded(value) == [implementation, *sorted(EXTENSIONS)]


def test_all_extensions_are_there_or_none() -> None:
    names = {name.rpartition(".")[2] for name in EXTENSIONS}
    assert not names or names >= {"_mask", "_codec", "_receiver", "_sender", "_connection", "_events"}


def test_this_process_knows_what_it_runs() -> None:
    pure = os.environ.get("AIGW_PURE", "") not in {"", "0"} or not EXTENSIONS
    assert (ws.IMPLEMENTATION == "pure") == pure


def test_sources_are_found() -> None:
    spec = SourceFinder.find_spec("aigw_proto._timers", PATH)
    assert spec is not None
    assert spec.origin == str(PACKAGE / "_timers.py")
    package = SourceFinder.find_spec("aigw_proto.ws", PATH)
    assert package is not None
    assert package.submodule_search_locations == [str(PACKAGE / "ws")]
    driver = SourceFinder.find_spec("aigw_transports._backlog", [str(DRIVERS)])
    assert driver is not None
    assert driver.origin == str(DRIVERS / "_backlog.py")
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    assert module.TimerTable is not aigw_proto.TimerTable


def test_what_is_not_ours_is_left_to_others() -> None:
    assert SourceFinder.find_spec("aigw_proto", None) is None
    assert SourceFinder.find_spec("aigw_protocol.ws", PATH) is None
    assert SourceFinder.find_spec("aigw_proto._nothing", PATH) is None
    assert SourceFinder.find_spec("json", None) is None
