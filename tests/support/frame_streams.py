"""The published strategies for frames, in the form in which the tests of the codec use them."""

from __future__ import annotations

from hypothesis import strategies as st

from aigw_proto import Role
from aigw_proto.testing.strategies import WebSocketMessage, doubtful_frame_streams, frame_streams, messages
from aigw_proto.ws import Opcode


def _plain(message: WebSocketMessage) -> tuple[Opcode, list[bytes]]:
    return message.opcode, list(message.fragments)


def valid_messages() -> st.SearchStrategy[list[tuple[Opcode, list[bytes]]]]:
    """Messages as (opcode, payloads of their fragments); pings and pongs have one."""
    return st.lists(messages().map(_plain), max_size=6)


def valid_stream(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Complete, legal messages with control frames between fragments, and sometimes a Close."""
    return frame_streams(_sender(masked=masked))


def any_stream(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Legal frames, wrong ones, changed ones, or noise."""
    return doubtful_frame_streams(_sender(masked=masked))


def _sender(*, masked: bool) -> Role:
    return Role.CLIENT if masked else Role.SERVER
