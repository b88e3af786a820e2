"""Which build of the hot modules is imported: compiled, or the same source as plain Python.

Some modules have an extension beside them, compiled from the very same file (`docs/topics/building.md`). Python looks
for extensions first, so they are found by themselves. With `AIGW_PURE=1` in the environment a finder goes before
Python's own and finds the `.py` files: for debuggers, for coverage, and to tell a mistake of ours from the compiler's.

Both packages import this module before any other of their own.
"""

from __future__ import annotations

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["SourceFinder"]

PACKAGES = ("aigw_proto.", "aigw_transports.")


class SourceFinder:
    """Finds the modules of our packages as Python sources, whatever extension lies beside them."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the source of a module of ours is, None for any other module."""
        if path is None or not fullname.startswith(PACKAGES):
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)
            if spec is not None:
                return spec
        return None


# Not `import os`, which nothing in this package may: what it could do besides reading this variable is what must not
# creep in. The interpreter has loaded it before any code of ours runs.
if sys.modules["os"].environ.get("AIGW_PURE", "") not in {"", "0"}:
    sys.meta_path.insert(0, SourceFinder)
