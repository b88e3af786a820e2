"""Which messages are worth reading: told from their first bytes, or, where these do not say it, from their last ones.

Nearly all messages of a session are audio or small steps of a text. To parse each would cost more than to relay it, so
a message is read only when it names an event that carries usage.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from typing import Final, Protocol

__all__ = ["HEAD_BYTES", "Glance", "Named", "Verdict"]

HEAD_BYTES: Final = 512


class Verdict(enum.Enum):
    """What a glance at a message says."""

    PASS = "pass"  # noqa: S105 - no password
    """Nothing to read in it."""
    READ = "read"
    """To be read when it is whole."""
    UNSURE = "unsure"
    """More of the message is needed to tell."""


class Glance(Protocol):
    """Tells which messages of a dialect are to be read."""

    def whole(self, data: bytes) -> bool:
        """Return whether this message is worth reading."""
        ...

    def begun(self, head: bytes) -> Verdict:
        """Judge a message by the first part of it."""
        ...


class Named:
    """For dialects whose events have a name, nearly always at the beginning: `{"type":"response.done",...`."""

    __slots__ = ("_key", "_mentions", "_names", "_start")

    def __init__(self, names: Collection[str], *, key: str = "type") -> None:
        """Look for events of these names in the member `key`."""
        quoted = re.escape(key.encode())
        self._start = b'{"%b":"' % key.encode()
        self._names = frozenset(name.encode() for name in names)
        self._mentions = tuple(b'"%b"' % name for name in self._names)
        # the members before it are skipped when they are no objects, whose own members may have the same key
        self._key = re.compile(
            rb'\s*\{\s*(?:"(?!%b")[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,\s*)*"%b"\s*:\s*"([^"\\]*)"'
            % (quoted, quoted)
        )

    def whole(self, data: bytes) -> bool:
        """Return whether this message is worth reading."""
        start = self._start
        if data.startswith(start):
            return data[len(start) : data.find(b'"', len(start), HEAD_BYTES)] in self._names
        found = self._key.match(data, 0, HEAD_BYTES)
        if found is not None:
            return found[1] in self._names
        return any(mention in data for mention in self._mentions)

    def begun(self, head: bytes) -> Verdict:
        """Judge a message by the first part of it."""
        found = self._key.match(head, 0, HEAD_BYTES)
        if found is None:
            return Verdict.UNSURE
        return Verdict.READ if found[1] in self._names else Verdict.PASS
