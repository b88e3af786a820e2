"""What can go wrong with a link, drawn from a source of chance."""

from __future__ import annotations

import random

from .._network import Faults

__all__ = ["bad_link", "is_smooth"]


def bad_link(draw: random.Random, *, trouble: float = 0.5) -> Faults:
    """Draw how a link misbehaves.

    All links are slow or fast, and cut what is sent in their own way; a share of `trouble` also stalls, breaks, ends
    one direction, refuses connections, or is slow to accept them.
    """
    choice = draw.choice
    stall = reset = half_close = refuse = connect = 0.0
    if draw.random() < trouble:
        match draw.randrange(5):
            case 0:
                stall = choice([0.02, 0.1])
            case 1:
                reset = choice([0.005, 0.05])
            case 2:
                half_close = choice([0.005, 0.05])
            case 3:
                refuse = choice([0.2, 1.0])
            case _:
                connect = choice([0.5, 3.0, 30.0])
    return Faults(
        latency_seconds=choice([0.0, 0.001, 0.001, 0.05]),
        jitter_seconds=choice([0.0, 0.0, 0.02]),
        buffer_bytes=choice([512, 8 * 1024, 128 * 1024]),
        max_read_bytes=choice([40, 500, 64 * 1024, 64 * 1024]),
        torn=choice([0.0, 0.0, 0.2, 0.9]),
        bytes_per_second=choice([None, None, None, 100_000.0]),
        read_bytes_per_second=choice([None, None, None, 50_000.0]),
        stall=stall,
        stall_seconds=choice([0.5, 5.0]),
        reset=reset,
        half_close=half_close,
        refuse=refuse,
        connect_seconds=connect,
    )


def is_smooth(faults: Faults) -> bool:
    """Say whether a link loses nothing and holds nothing up for long."""
    troubles = (faults.stall, faults.reset, faults.half_close, faults.refuse, faults.connect_seconds)
    return not any(troubles) and not faults.silent
