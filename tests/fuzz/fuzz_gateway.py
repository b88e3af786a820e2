"""Any script of inputs to a whole gateway: contracts kept, all it sends is right, each request ends once, nothing left.

The input is read as decisions: limits first, then what happens, one thing after the other (`support.gateway_play`).
"""

from __future__ import annotations

from fuzz.script import Script
from support.gateway_play import GatewayPlay, actions

MAX_ACTIONS = 200


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    play = GatewayPlay(script)
    possible = actions(play)
    for _ in range(MAX_ACTIONS):
        if script.spent or play.turns.drained:
            break
        script.choice(possible)()
    play.finish()
