"""The extensions. What is not about them is in pyproject.toml.

Every module with a `.pxd` beside it is compiled, from its `.pyx` where it has one, else from the ordinary `.py`. They
call each other without Python in between, so they are built all or not at all: without Cython, without a compiler or
when one of them fails, the package is installed as plain Python, complete and correct. Two variables decide otherwise:

    AIGW_PURE=1      build none
    AIGW_COMPILED=1  fail where none can be built
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

try:
    from Cython.Build import cythonize
    from Cython.Compiler.Errors import CompileError
except ImportError:
    cythonize, CompileError = None, ValueError

DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # types are in the .pxd; annotations are for people and type checkers
    # An index out of bounds and a missing value are errors as in Python, never a read of foreign memory. The checks
    # cost less than a benchmark can tell.
    "boundscheck": True,
    "wraparound": True,
    "nonecheck": True,
}

# Without notes for debuggers of C, and optimised as far as pays here: both halve the time that an installation takes.
FLAGS = [] if sys.platform == "win32" else ["-g0", "-O2"]
# The loop over the octets of a payload is worth more: below -O3 gcc does not keep all of it in wide registers, and it
# takes twice as long.
LOOPS = {"aigw_proto.ws._mask": [] if sys.platform == "win32" else ["-O3"]}


def variable(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def extensions() -> list[Extension]:
    types = sorted(path.as_posix() for path in Path("src").rglob("*.pxd"))
    found: list[Extension] = []
    for path in map(Path, types):
        name = ".".join(path.with_suffix("").parts[1:])
        pyx = path.with_suffix(".pyx")
        source = pyx if pyx.exists() else path.with_suffix(".py")
        flags = FLAGS + LOOPS.get(name, [])
        found.append(Extension(name, [source.as_posix()], depends=types, extra_compile_args=flags))
    return found


class BuildExtensions(build_ext):
    """Builds all extensions, or with a warning none."""

    def run(self) -> None:
        if self.editable_mode or variable("AIGW_PURE"):
            # Beside sources that are being edited an extension would hide what was changed since.
            self.extensions = []
            return
        try:
            self.translate()
            super().run()
        except (BaseError, CCompilerError, CompileError) as error:
            if variable("AIGW_COMPILED"):
                raise
            for path in map(Path, self.get_outputs()):
                path.unlink(missing_ok=True)
            self.extensions = []
            print(f"warning: aigw is installed as plain Python, which is slower: {error}", file=sys.stderr)

    def translate(self) -> None:
        if cythonize is None:
            raise BaseError("Cython is missing")
        self.parallel = self.parallel or os.cpu_count()
        translated = cythonize(self.extensions, compiler_directives=DIRECTIVES, build_dir=self.build_temp)
        for extension, other in zip(self.extensions, translated, strict=True):
            extension.sources = other.sources


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
