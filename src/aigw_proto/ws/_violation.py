"""How the parts of the receiving side tell the connection that the peer went wrong.

Decoder, inflater and assembly raise; `WSConnection.next_event()` catches in one place and turns the exception into a
`Failed` event with the Close frame queued. It never leaves this package.
"""

from __future__ import annotations

__all__ = ["Violation"]


class Violation(Exception):  # noqa: N818 - it is not an error of ours but a finding about the peer
    """The peer broke the protocol or a limit. `code` is the close code to answer with (RFC 6455 section 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        """Keep both parts as they go into the Close frame."""
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
