"""`aigw_proto` does no I/O: no file of it imports a module that could."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import aigw_proto

BANNED = {
    *("anyio", "asyncio", "concurrent", "logging", "os", "queue", "random", "secrets", "select", "selectors"),
    *("socket", "ssl", "threading", "time", "trio"),
}
PACKAGE = Path(aigw_proto.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def banned_imports(source: str) -> list[str]:
    """Return the banned modules that the source imports, at any level and in any form."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=str(module)), *_]):
                modules = [module]
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                modules = [module]
            case _:
                continue
        found += [module for module in modules if module.split(".")[0] in BANNED]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure(path: Path) -> None:
    assert banned_imports(path.read_text(encoding="utf-8")) == []


def test_there_are_files() -> None:
    assert PACKAGE / "conductor.py" in FILES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time", ["time"]),
        ("import json, os.path as path", ["os.path"]),
        ("from concurrent.futures import Future", ["concurrent.futures"]),
        ("def f():\n    import asyncio", ["asyncio"]),
        ("if TYPE_CHECKING:\n    from ssl import SSLContext", ["ssl"]),
        ("__import__('socket')", ["socket"]),
        ("importlib.import_module('random')", ["random"]),
        ("from . import time", []),
        ("from .time import x", []),
        ("import datetime, timeit", []),
        ("print('import time')", []),
    ],
)
def test_the_check_catches(source: str, expected: list[str]) -> None:
    assert banned_imports(source) == expected
