"""A gateway with universal and realtime clients and providers by hand, as a state machine: any order of anything.

Hypothesis chooses what happens next, from single inputs of the engine, and shrinks what breaks it to the fewest steps.
After every step the contract between engine and driver held, everything sent was right, and no bug was logged; at the
end each request has ended once and nothing is left. `support.gateway_play` has the rules.
"""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.gateway_play import GatewayPlay

CHANCE = st.randoms(use_true_random=False)
COURSE = [
    *("create", "create", "connect", "connect", "answer", "answer", "accept", "accept", "speak", "speak"),
    *("settle", "pass_time", "cancel", "stall", "resume", "open universal", "open realtime"),
]
"""Methods of `GatewayPlay`; in one rule, since Hypothesis leaves whole rules out of many runs."""
TROUBLES = ["", "", "", "", "misbehave", "noise", "cut", "cut", "fail", "shut_down"]


class GatewayMachine(RuleBasedStateMachine):
    """Each rule is one kind of thing that can happen; `chance` decides to whom, and what exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.play = GatewayPlay(random.Random(0))

    def under(self, chance: random.Random) -> GatewayPlay:
        """Let this step be decided by what Hypothesis draws."""
        self.play.draw = chance
        return self.play

    @initialize(chance=CHANCE)
    def begin(self, chance: random.Random) -> None:
        self.play = GatewayPlay(chance)
        for is_universal in (True, True, False):
            self.play.come(is_universal=is_universal)

    @rule(chance=CHANCE, what=st.sampled_from(COURSE))
    def go_on(self, chance: random.Random, what: str) -> None:
        """What keeps sessions going, or opens new ones."""
        play = self.under(chance)
        match what:
            case "open universal" | "open realtime":
                play.come(is_universal=what == "open universal")
            case _:
                getattr(play, what)()

    @rule(chance=CHANCE, what=st.sampled_from(TROUBLES))
    def go_wrong(self, chance: random.Random, what: str) -> None:
        """What ends requests and sessions; mostly nothing, because after it little else can happen."""
        if what:
            getattr(self.under(chance), what)()

    @invariant()
    def deadlines_are_not_in_the_past(self) -> None:
        deadline = self.play.turns.engine.next_timeout()
        assert self.play.turns.drained or deadline is None or deadline >= self.play.turns.now

    def teardown(self) -> None:
        self.play.draw = random.Random(1)
        self.play.finish()


TestGatewayMachine = GatewayMachine.TestCase
EXAMPLES = 100 if settings().derandomize else 1000  # few in every run, many when new ones are drawn
TestGatewayMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=60)
