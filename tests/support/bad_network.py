"""How badly the network of a simulated client behaves."""

from __future__ import annotations

import random

from aigw_transports.memory import Faults


def bad_network(draw: random.Random) -> Faults:
    """Draw the faults of one run; some runs have none."""
    return Faults(
        latency_seconds=draw.choice([0.0, 0.001, 0.05]),
        jitter_seconds=draw.choice([0.0, 0.02]),
        buffer_bytes=draw.choice([512, 8 * 1024, 128 * 1024]),
        max_read_bytes=draw.choice([7, 500, 64 * 1024]),
        torn=draw.choice([0.0, 0.2, 0.9]),
        stall=draw.choice([0.0, 0.02]),
        stall_seconds=draw.choice([0.5, 5.0]),
        reset=draw.choice([0.0, 0.0, 0.002]),
        refuse=draw.choice([0.0, 0.0, 0.2]),
    )
