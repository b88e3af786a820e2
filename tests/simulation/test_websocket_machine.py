"""Two WebSocket connections and a wire, as a state machine: both send, read, close, time passes, a cable breaks.

Whatever Hypothesis makes happen, each end hears what the other said, in order and whole, and then one terminal event;
close codes are those that were sent. `support.websocket_pair` keeps the accounts.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aigw_proto import Role, WebSocketLimits
from aigw_proto.ws import DeflateParameters, Delivery, Opcode
from support.websocket_pair import WebSocketPair

ROLES = st.sampled_from(Role)
LENGTHS = st.sampled_from([1, 1, 1, 20, 6000])
TEXTS = st.tuples(st.text("ab é日😀\0", max_size=12), LENGTHS).map(lambda pair: pair[0] * pair[1])
COMPRESSIONS = st.sampled_from(
    [
        None,
        DeflateParameters(False, False, 15, 15),
        DeflateParameters(True, True, 9, 9),
        DeflateParameters(False, True, 15, 8),
    ]
)
LIMITS = st.sampled_from(
    [
        WebSocketLimits(),
        WebSocketLimits(ping_interval_seconds=None),
        WebSocketLimits(piece_bytes=10, relayed_piece_bytes=4, max_pending_control_bytes=50),
    ]
)
CODES = st.sampled_from([None, 1000, 1001, 1011, 3000, 4999])


class WebSocketMachine(RuleBasedStateMachine):
    """Each rule is one thing that an end, the wire or the clock does."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = WebSocketPair(WebSocketLimits(), None, Delivery.MESSAGES, Delivery.MESSAGES)

    @initialize(limits=LIMITS, deflate=COMPRESSIONS, client=st.sampled_from(Delivery), server=st.sampled_from(Delivery))
    def begin(
        self, limits: WebSocketLimits, deflate: DeflateParameters | None, client: Delivery, server: Delivery
    ) -> None:
        self.pair = WebSocketPair(limits, deflate, client, server)

    @rule(role=ROLES, text=TEXTS)
    def send_text(self, role: Role, text: str) -> None:
        self.pair.sides[role].send(Opcode.TEXT, text.encode())

    @rule(role=ROLES, data=st.binary(max_size=40))
    def send_binary(self, role: Role, data: bytes) -> None:
        self.pair.sides[role].send(Opcode.BINARY, data)

    @rule(role=ROLES, text=TEXTS, opcode=st.sampled_from([Opcode.TEXT, Opcode.BINARY]), finished=st.booleans())
    def send_piece(self, role: Role, text: str, opcode: Opcode, finished: bool) -> None:
        self.pair.sides[role].send_piece(opcode, text.encode(), finished=finished)

    @rule(role=ROLES, data=st.binary(max_size=125))
    def ping(self, role: Role, data: bytes) -> None:
        self.pair.sides[role].ping(data)

    @rule(role=ROLES, code=CODES)
    def close(self, role: Role, code: int | None) -> None:
        self.pair.sides[role].close(code, self.pair.now)

    @rule(role=ROLES)
    def flush(self, role: Role) -> None:
        self.pair.flush(role)

    @rule(role=ROLES, count=st.sampled_from([1, 2, 7, 50, 1000, 1 << 20]))
    def deliver(self, role: Role, count: int) -> None:
        self.pair.deliver(role, count)

    @rule(role=ROLES, most=st.sampled_from([1, 3, 1000]))
    def pull(self, role: Role, most: int) -> None:
        self.pair.sides[role].pull(most)

    @rule(seconds=st.sampled_from([0.0, 0.5, 9.0, 31.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.pair.pass_time(seconds)

    @rule(really=st.integers(0, 9))
    def cut(self, really: int) -> None:
        if really == 9:
            self.pair.cut()

    @rule()
    def settle(self) -> None:
        self.pair.settle()

    @invariant()
    def what_is_heard_was_said(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        self.pair.finish()


TestWebSocketMachine = WebSocketMachine.TestCase
EXAMPLES = 60 if settings().derandomize else 2000  # few in every run, many when new ones are drawn
TestWebSocketMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)
