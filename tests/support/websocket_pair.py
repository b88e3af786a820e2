"""Two WebSocket connections, a wire that holds bytes in both directions, and what each end has to hear in the end."""

from __future__ import annotations

from typing import TypeAlias

from aigw_proto import CloseCode, Entropy, LocalProtocolError, Role, Signal, WebSocketLimits
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    CloseReceived,
    DeflateParameters,
    Delivery,
    Failed,
    MessagePiece,
    Opcode,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)

Message: TypeAlias = tuple[Opcode, bytes]


class Side:
    """One end: a connection, the wire to it, and all that it said and heard."""

    def __init__(
        self, role: Role, limits: WebSocketLimits, deflate: DeflateParameters | None, delivery: Delivery
    ) -> None:
        self.delivery = delivery
        self.connection = WSConnection(
            role, now=0.0, limits=limits, entropy=Entropy(bytes), deflate=deflate, delivery=delivery
        )
        self.sent: list[Message] = []
        self.partial: tuple[Opcode, bytes] | None = None
        self.sent_code: int | None = None  # in a Close of its own, not in an answer
        self.arriving = bytearray()
        self.arriving_ends = False
        self.ended_wire = False
        self.heard: list[Message] = []
        self.hearing: tuple[Opcode, bytes] | None = None
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.close_received: CloseReceived | None = None
        self.terminal: Closed | Failed | None = None

    # Sending; what is not possible now raises and changes nothing

    def can_begin(self) -> bool:
        """Whether a whole message can be sent."""
        return self.connection.can_send and not self.connection.sending_message

    def send(self, opcode: Opcode, data: bytes) -> None:
        """Send a whole message, or see that it is refused."""
        if self.can_begin():
            self._send_whole(opcode, data)
            self.sent.append((opcode, data))
            return
        try:
            self._send_whole(opcode, data)
        except LocalProtocolError:
            return
        raise AssertionError("a message was taken that cannot be sent now")

    def _send_whole(self, opcode: Opcode, data: bytes) -> None:
        if opcode is Opcode.TEXT:
            self.connection.send_text(data)
        else:
            self.connection.send_binary(data)

    def send_piece(self, opcode: Opcode, data: bytes, *, finished: bool) -> None:
        """Send a fragment of the message under way, or of a new one."""
        if not self.connection.can_send:
            return
        opcode, before = self.partial or (opcode, b"")
        self.connection.send_piece(opcode, data, finished=finished)
        self.partial = None if finished else (opcode, before + data)
        if finished:
            self.sent.append((opcode, before + data))

    def ping(self, data: bytes) -> None:
        """Send a ping."""
        if self.connection.can_send:
            self.connection.send_ping(data)

    def close(self, code: int | None, now: float) -> None:
        """Start the closing handshake, or answer the other's Close."""
        if self.connection.can_send:
            self.connection.send_close(code, now=now)
            self.sent_code = int(CloseCode.NO_STATUS_RECEIVED) if code is None else code

    # Receiving

    def pull(self, most: int) -> None:
        """Pull up to so many events."""
        for _ in range(most):
            event = self.connection.next_event()
            if isinstance(event, Signal):
                return
            self._take(event)

    def _take(self, event: WebSocketEvent) -> None:
        assert self.terminal is None, f"{event} came after {self.terminal}"
        match event:
            case TextMessage(text):
                self.heard.append((Opcode.TEXT, text.encode()))
            case BinaryMessage(data):
                self.heard.append((Opcode.BINARY, data))
            case MessagePiece():
                assert event.started == (self.hearing is None)
                opcode, before = self.hearing or (event.opcode, b"")
                assert opcode is event.opcode
                self.hearing = None if event.finished else (opcode, before + event.data)
                if event.finished:
                    self.heard.append((opcode, before + event.data))
            case Ping(data):
                self.pings.append(data)
            case Pong(data):
                self.pongs.append(data)
            case CloseReceived():
                assert self.delivery is Delivery.RELAY
                assert self.close_received is None
                self.close_received = event
            case Closed() | Failed():
                self.terminal = event


class WebSocketPair:
    """Two ends and the wire between them."""

    def __init__(
        self, limits: WebSocketLimits, deflate: DeflateParameters | None, client: Delivery, server: Delivery
    ) -> None:
        self.now = 0.0
        self.sides = {
            Role.CLIENT: Side(Role.CLIENT, limits, deflate, client),
            Role.SERVER: Side(Role.SERVER, limits, deflate, server),
        }
        self.is_cut = False
        self.is_late = False

    def other(self, role: Role) -> Side:
        """Return the end that `role` talks to."""
        return self.sides[Role.SERVER if role is Role.CLIENT else Role.CLIENT]

    def flush(self, role: Role) -> int:
        """Put what an end has to say on the wire; behind its terminal event, the end of the stream."""
        side, other = self.sides[role], self.other(role)
        data = b"".join(side.connection.data_to_send())
        if not side.ended_wire:
            other.arriving += data
            if side.terminal is not None:
                side.ended_wire = other.arriving_ends = True
        return len(data)

    def deliver(self, role: Role, count: int) -> int:
        """Let up to so many bytes arrive at an end, or when there are none the end of the stream."""
        side = self.sides[role]
        data = bytes(side.arriving[:count])
        del side.arriving[:count]
        if data:
            side.connection.receive_data(data, self.now)
        elif side.arriving_ends:
            side.connection.receive_eof(self.now)
        return len(data)

    def cut(self) -> None:
        """Lose what is on the wire, and end it both ways."""
        self.is_cut = True
        for side in self.sides.values():
            side.arriving.clear()
            side.arriving_ends = side.ended_wire = True

    def pass_time(self, seconds: float) -> None:
        """Let time pass for both ends."""
        self.now += seconds
        self.is_late = self.is_late or seconds > 1.0
        for side in self.sides.values():
            side.connection.handle_timeout(self.now)
            deadline = side.connection.next_timeout()
            assert deadline is None or deadline >= self.now

    def settle(self) -> None:
        """Carry everything both ways, until both are quiet."""
        for _ in range(1000):
            moved = 0
            for role, side in self.sides.items():
                side.pull(10_000)
                moved += self.flush(role) + self.deliver(role, 1 << 20)
                side.pull(10_000)
            if not moved and not any(side.arriving for side in self.sides.values()):
                return
        raise AssertionError("the two ends never stop talking")

    def check(self) -> None:
        """What was heard was said, in order; nothing that both ends did was a fault of either."""
        for role, side in self.sides.items():
            other = self.other(role)
            assert side.heard == other.sent[: len(side.heard)], "a message was lost, changed or invented"
            if side.hearing is not None:
                opcode, data = side.hearing
                following = [*other.sent, *([other.partial] if other.partial else [])][len(side.heard)]
                assert opcode is following[0]
                assert following[1].startswith(data)
            if side.terminal is None:
                continue
            assert side.connection.next_timeout() is None
            if isinstance(side.terminal, Failed):
                assert side.terminal.code == CloseCode.ABNORMAL_CLOSURE, side.terminal
                assert self.is_late, side.terminal
            elif side.terminal.code == CloseCode.ABNORMAL_CLOSURE:
                assert not side.terminal.clean
                assert self.is_cut or self.is_late, "an end without a Close, and nobody cut the wire"
            else:
                expected = side.sent_code if other.sent_code is None else other.sent_code
                assert side.terminal.code == expected, "a code that was not sent"
                assert side.heard == other.sent, "a Close came before messages that were sent before it"

    def finish(self) -> None:
        """Close, wait for everything, and see both ends through to their terminal events."""
        self.settle()
        for side in self.sides.values():
            side.close(1000, self.now)
        self.settle()
        for side in self.sides.values():  # a relay answers a Close that came
            side.close(1001, self.now)
        self.settle()
        self.check()
        for _ in range(10):
            self.pass_time(60.0)
            self.settle()
        self.check()
        for side in self.sides.values():
            assert side.terminal is not None
            assert side.connection.data_to_send() == []
            assert side.connection.next_timeout() is None
            side.connection.receive_data(b"\x81\x00", self.now)
            side.pull(10)
