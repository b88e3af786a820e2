"""Which messages are worth reading: told from their first bytes, or, where these do not say it, from their last ones.

Nearly all messages of a session are audio or small steps of a text. To parse each would cost more than to relay it, so
a message is read only when it names an event that carries usage. A glance may take a message for worth reading that is
not, since the reader looks closely; never the other way round within the bytes that it looks at.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from typing import Final, Protocol

__all__ = ["HEAD_BYTES", "TAIL_BYTES", "Glance", "Marked", "Named", "Verdict"]

HEAD_BYTES: Final = 512
TAIL_BYTES: Final = 2048
_LAST_BYTES: Final = 128


class Verdict(enum.Enum):
    """What a glance at the beginning of a message says."""

    SKIP = "skip"
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
        """Judge a message by its first part."""
        ...


class Named:
    """For dialects whose events have a name: `{"type":"response.done",...`, or as the last member."""

    __slots__ = ("_key", "_last", "_mentions", "_names", "_offset", "_start")

    def __init__(self, names: Collection[str], *, key: str = "type", marks: Collection[bytes] = ()) -> None:
        """Look for events of these names in the member `key`, or for `marks` in those that seem to have none."""
        self._names = frozenset(name.encode() for name in names)
        self._mentions = (*(b'"%b"' % name for name in self._names), *marks)
        self._start = b'{"%b":"' % key.encode()
        self._offset = len(self._start)
        # The members before it are passed over. When one of them is an object or an array, the name is not looked for
        # any further here, since what they hold may have members of that key too.
        quoted = re.escape(key.encode())
        before = rb'(?:"(?!%b")[^"\\]*+"\s*+:\s*+(?:"[^"\\]*+"|[-+.\w]++)\s*+,\s*+)*+' % quoted
        self._key = re.compile(rb'\s*+\{\s*+%b"%b"\s*+:\s*+"([^"\\]*+)"' % (before, quoted))
        self._last = re.compile(rb'"%b"\s*+:\s*+"([^"\\]*+)"\s*+\}\s*+\Z' % quoted)

    def whole(self, data: bytes) -> bool:
        """Return whether this message is worth reading."""
        if data.startswith(self._start):
            offset = self._offset
            return data[offset : data.find(b'"', offset, HEAD_BYTES)] in self._names
        found = self._key.match(data, 0, HEAD_BYTES) or self._last.search(data, max(len(data) - _LAST_BYTES, 0))
        if found is not None:
            return found[1] in self._names
        for mention in self._mentions:  # noqa: SIM110 - a generator would cost more than the search
            if mention in data:
                return True
        return False

    def begun(self, head: bytes) -> Verdict:
        """Judge a message by its first part."""
        found = self._key.match(head, 0, HEAD_BYTES)
        if found is None:
            return Verdict.UNSURE
        return Verdict.READ if found[1] in self._names else Verdict.SKIP


class Marked:
    """For dialects whose messages have no name: certain members at either end make one worth reading."""

    __slots__ = ("_marks",)

    def __init__(self, marks: Collection[bytes]) -> None:
        """Look for these byte strings."""
        self._marks = tuple(marks)

    def whole(self, data: bytes) -> bool:
        """Return whether this message is worth reading."""
        if len(data) > TAIL_BYTES:
            # no member begins before a quotation mark: of audio, which holds none, this leaves the last few bytes
            tail = data.find(b'"', len(data) - TAIL_BYTES)
            data = data[:HEAD_BYTES] + data[tail:] if tail >= 0 else data[:HEAD_BYTES]
        for mark in self._marks:  # noqa: SIM110 - a generator would cost more than the search
            if mark in data:
                return True
        return False

    def begun(self, head: bytes) -> Verdict:  # noqa: ARG002 - the form of a glance
        """Judge a message by its first part: its last one is needed."""
        return Verdict.UNSURE
