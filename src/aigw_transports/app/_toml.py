"""Reading a TOML document with every mistake reported at once.

`tomllib` gives plain dictionaries. A `Table` wraps one of them together with its place in the document; each accessor
checks one key and notes a problem instead of raising, so that a person who wrote three mistakes reads three lines. The
accessors also record which keys exist, which is how `finish()` finds the unknown ones and what to suggest for them.

A secret is written as itself, as `env:NAME` or as `file:PATH`. Its value is never part of a problem's text.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from typing import TYPE_CHECKING, TypeVar, cast

from aigw_proto._errors import AigwError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["ConfigError", "Problems", "Table", "describe", "suggestion"]

ValueT = TypeVar("ValueT")
DefaultT = TypeVar("DefaultT")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
MOST_SECONDS = 1e6  # more than eleven days is a mistake of unit
_MAX_SECRET_FILE_BYTES = 64 * 1024  # a key or token; more means that the path is wrong
_NAMES: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "a table",
}


class ConfigError(AigwError):
    """The configuration cannot be used. The message has one line per problem, each naming file, key and expectation."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep `problems`; there is at least one."""
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def describe(value: object) -> str:
    """Name the TOML type of `value` for people, without the value itself."""
    return _NAMES.get(type(value), "a date or time")


class Problems:
    """The mistakes found so far in one file, and where relative paths in it begin."""

    def __init__(self, file: Path, environment: Mapping[str, str] | None = None) -> None:
        """Collect problems of `file`; `environment` (default: the process's) answers `env:NAME`."""
        self.file = file
        self.environment: Mapping[str, str] = os.environ if environment is None else environment
        self.lines: list[str] = []

    def add(self, path: str, message: str) -> None:
        """Note one problem at the key `path`."""
        self.lines.append(f"{self.file}: {path}: {message}")

    def check(self) -> None:
        """Raise `ConfigError` when there are problems."""
        if self.lines:
            raise ConfigError(self.lines)


class Table:
    """One table of the document. Read every key it may have, then call `finish()`."""

    def __init__(self, path: str, content: Mapping[str, object], problems: Problems) -> None:
        """Wrap `content`, found at `path` ("" for the document itself)."""
        self.path = path
        self.problems = problems
        self._content = content
        self._known: list[str] = []

    def at(self, key: str) -> str:
        """Return the whole path of `key`, quoted where TOML would need it."""
        name = key if _BARE_KEY.fullmatch(key) else json.dumps(key)
        return f"{self.path}.{name}" if self.path else name

    def add(self, key: str, message: str) -> None:
        """Note a problem with the value of `key`."""
        self.problems.add(self.at(key), message)

    def names(self) -> list[str]:
        """Return the keys that are there; for tables whose keys are the operator's own names."""
        return list(self._content)

    def is_empty(self, key: str) -> bool:
        """Tell whether `key` is there and holds an empty array."""
        return self._content.get(key) == []

    def is_false(self, key: str) -> bool:
        """Tell whether `key` is `false`, which switches an optional value off."""
        self._known.append(key)
        return self._content.get(key) is False

    def has(self, key: str) -> bool:
        """Tell whether `key` is there, with whatever value."""
        return key in self._content

    def _get(self, key: str, kind: type[ValueT], expected: str) -> ValueT | None:
        self._known.append(key)
        value = self._content.get(key)
        if value is None:
            return None
        if type(value) is not kind:  # not isinstance: a TOML boolean is not an integer
            self.add(key, f"expected {expected}, got {describe(value)}")
            return None
        return value

    def string(self, key: str, default: str = "", *, required: bool = False) -> str:
        """Read a non-empty string without control characters; `default` when it is absent or wrong."""
        if required and key not in self._content:
            self._known.append(key)
            self.add(key, "is missing; expected a string")
            return default
        value = self._get(key, str, "a string")
        if value is None:
            return default
        if not value or not value.isprintable():
            self.add(key, "expected a string that is not empty and has no control characters")
            return default
        return value

    def file(self, key: str) -> str | None:
        """Read the name of a file; a relative one begins in the folder of the configuration."""
        name = self.string(key)
        return str(self.problems.file.parent / name) if name else None

    def choice(self, key: str, choices: Sequence[str], default: DefaultT) -> str | DefaultT:
        """Read one of `choices`."""
        value = self._get(key, str, "one of " + _listed(choices))
        if value is None:
            return default
        if value not in choices:
            self.add(key, f"expected one of {_listed(choices)}, got {json.dumps(value)}{suggestion(value, choices)}")
            return default
        return value

    def boolean(self, key: str, default: DefaultT) -> bool | DefaultT:
        """Read `true` or `false`."""
        value = self._get(key, bool, "true or false")
        return default if value is None else value

    def integer(self, key: str, default: DefaultT, *, least: int, most: int) -> int | DefaultT:
        """Read an integer from `least` to `most`."""
        expected = f"an integer from {least} to {most}" if most < 1 << 32 else f"an integer, at least {least}"
        value = self._get(key, int, expected)
        if value is None:
            return default
        if not least <= value <= most:
            self.add(key, f"expected {expected}, got {value}")
            return default
        return value

    def seconds(
        self, key: str, default: DefaultT, *, least: float = 0.0, most: float = MOST_SECONDS
    ) -> float | DefaultT:
        """Read a finite number of seconds from `least` to `most`; integers are numbers too."""
        self._known.append(key)
        value = self._content.get(key)
        if value is None:
            return default
        expected = f"a number of seconds from {least:g} to {most:g}"
        if type(value) not in {int, float}:
            self.add(key, f"expected {expected}, got {describe(value)}")
            return default
        if not least <= cast("float", value) <= most:  # false for nan as well
            self.add(key, f"expected {expected}, got {value}")
            return default
        return float(cast("float", value))

    def checked(self, key: str, check: Callable[[str], ValueT | str], make: type[ValueT]) -> ValueT | None:
        """Read a string through `check`, which returns the value or, as a string, what is wrong with it."""
        text = self.string(key)
        if not text:
            return None
        value = check(text)
        if not isinstance(value, make):
            self.add(key, str(value))
            return None
        return value

    def table(self, key: str) -> Table:
        """Read a table; an empty one when it is absent or wrong."""
        value = cast("dict[str, object]", self._get(key, dict, "a table") or {})
        return Table(self.at(key), value, self.problems)

    def tables(self, key: str) -> list[Table]:
        """Read an array of tables (`[[key]]`)."""
        if isinstance(self._content.get(key), dict):
            self._known.append(key)
            self.add(key, f"expected an array of tables; write [[{self.at(key)}]] with two brackets")
            return []
        value = cast("list[object]", self._get(key, list, f"an array of tables ([[{key}]])") or [])
        found: list[Table] = []
        for index, item in enumerate(value):
            path = f"{self.at(key)}[{index}]"
            if isinstance(item, dict):
                found.append(Table(path, cast("dict[str, object]", item), self.problems))
            else:
                self.problems.add(path, f"expected a table, got {describe(item)}")
        return found

    def secret(self, key: str) -> str:
        """Read a secret: literal, `env:NAME` or `file:PATH`; "" when it is absent or wrong."""
        value = self._get(key, str, 'a secret: a string, "env:NAME" or "file:PATH"')
        return "" if value is None else self._resolve(self.at(key), value)

    def secrets(self, key: str) -> tuple[str, ...]:
        """Read an array of secrets."""
        value = cast("list[object]", self._get(key, list, "an array of secrets") or [])
        found: list[str] = []
        for index, item in enumerate(value):
            path = f"{self.at(key)}[{index}]"
            if isinstance(item, str):
                found.append(self._resolve(path, item))
            else:
                self.problems.add(path, f'expected a secret: a string, "env:NAME" or "file:PATH", got {describe(item)}')
        return tuple(secret for secret in found if secret)

    def _resolve(self, path: str, text: str) -> str:
        kind, _, name = text.partition(":")
        if kind == "env":
            shown = name if name.isprintable() else json.dumps(name)
            value, source = self.problems.environment.get(name), f"environment variable {shown or '(no name)'}"
            problem = "is not set"
        elif kind == "file":
            source = f"file {json.dumps(name) if name else '(no name)'}"
            value, problem = self._read_secret_file(name)
        else:
            value, source, problem = text, "the secret", ""
        if value is None:
            self.problems.add(path, f"{source} {problem}")
            return ""
        if not value:
            self.problems.add(path, f"{source} is empty")
            return ""
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            self.problems.add(path, f"{source} must be printable ASCII without white space around it")
            return ""
        return value

    def _read_secret_file(self, name: str) -> tuple[str | None, str]:
        if not name.isprintable():
            return None, "has a name with control characters"
        try:
            with (self.problems.file.parent / name).open("rb") as file:
                content = file.read(_MAX_SECRET_FILE_BYTES + 1)
        except OSError as error:
            return None, f"cannot be read: {error.strerror}"
        if len(content) > _MAX_SECRET_FILE_BYTES:
            return None, f"has more than {_MAX_SECRET_FILE_BYTES} bytes"
        return content.decode("ascii", "replace").strip(), ""

    def finish(self) -> None:
        """Note every key that no accessor asked for."""
        for key in self._content:
            if key not in self._known:
                hint = suggestion(key, self._known) or f"; known keys: {', '.join(sorted(set(self._known)))}"
                self.add(key, f"unknown key{hint}")


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean "x"?` for the nearest of `known`, or nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _listed(words: Sequence[str]) -> str:
    return ", ".join(json.dumps(word) for word in words)
