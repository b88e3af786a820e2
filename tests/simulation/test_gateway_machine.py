"""A gateway with universal and realtime clients and providers by hand, as a state machine: any order of anything.

Hypothesis chooses what happens next, from single inputs of the engine, and shrinks what breaks it to the fewest steps.
After every step the contract between engine and driver held, everything sent was right, and no bug was logged; at the
end each request has ended once and nothing is left. `support.gateway_play` has the rules.
"""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.gateway_play import GatewayPlay

CHANCE = st.randoms(use_true_random=False)


class GatewayMachine(RuleBasedStateMachine):
    """Each rule is one kind of thing that can happen; `chance` decides to whom, and what exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.play = GatewayPlay(random.Random(0))

    def under(self, chance: random.Random) -> GatewayPlay:
        """Let this step be decided by what Hypothesis draws."""
        self.play.draw = chance
        return self.play

    def goes_on(self) -> bool:
        """Whether the gateway still runs."""
        return not self.play.turns.drained

    @initialize(chance=CHANCE)
    def begin(self, chance: random.Random) -> None:
        self.play = GatewayPlay(chance)
        self.play.come(is_universal=True)

    @rule(chance=CHANCE, is_universal=st.booleans())
    def open(self, chance: random.Random, is_universal: bool) -> None:
        self.under(chance).come(is_universal=is_universal)

    @rule(chance=CHANCE)
    def create(self, chance: random.Random) -> None:
        self.under(chance).create()

    @rule(chance=CHANCE)
    def cancel(self, chance: random.Random) -> None:
        self.under(chance).cancel()

    @rule(chance=CHANCE)
    def misbehave(self, chance: random.Random) -> None:
        self.under(chance).misbehave()

    @rule(chance=CHANCE)
    def send_noise(self, chance: random.Random) -> None:
        self.under(chance).noise()

    @rule(chance=CHANCE)
    def speak(self, chance: random.Random) -> None:
        self.under(chance).speak()

    @precondition(lambda self: self.play.connecting)
    @rule(chance=CHANCE, works=st.booleans())
    def connect(self, chance: random.Random, works: bool) -> None:
        play = self.under(chance)
        if works:
            play.connect()
        else:
            play.fail()

    @precondition(lambda self: self.play.providers)
    @rule(chance=CHANCE)
    def answer(self, chance: random.Random) -> None:
        self.under(chance).answer()

    @precondition(lambda self: self.play.providers)
    @rule(chance=CHANCE)
    def accept(self, chance: random.Random) -> None:
        self.under(chance).accept()

    @rule(chance=CHANCE)
    def cut(self, chance: random.Random) -> None:
        self.under(chance).cut()

    @rule(chance=CHANCE, reads=st.booleans())
    def read_or_not(self, chance: random.Random, reads: bool) -> None:
        play = self.under(chance)
        if reads:
            play.resume()
        else:
            play.stall()

    @precondition(goes_on)
    @rule()
    def settle(self) -> None:
        self.play.settle()

    @precondition(goes_on)
    @rule(chance=CHANCE)
    def let_time_pass(self, chance: random.Random) -> None:
        self.under(chance).pass_time()

    @precondition(lambda self: not self.play.shutting_down)
    @rule(chance=CHANCE, really=st.integers(0, 9))
    def shut_down(self, chance: random.Random, really: int) -> None:
        if really == 9:
            self.under(chance).shut_down()

    @invariant()
    def deadlines_are_not_in_the_past(self) -> None:
        deadline = self.play.turns.engine.next_timeout()
        assert self.play.turns.drained or deadline is None or deadline >= self.play.turns.now

    def teardown(self) -> None:
        self.play.draw = random.Random(1)
        self.play.finish()


TestGatewayMachine = GatewayMachine.TestCase
EXAMPLES = 25 if settings().derandomize else 500  # few in every run, many when new ones are drawn
TestGatewayMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)
