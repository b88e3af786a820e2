"""The small engines that play the scenarios of `check_driver`: some listen, some connect, all end by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._effects import CloseHow, Drained
from .._inputs import (
    BytesReceived,
    ConnectFailed,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from .._kinds import record
from ._scenario_transfer import CHUNK_BYTES, Transfer, pattern_piece
from ._toy import ToyEngine

if TYPE_CHECKING:
    from .._effects import Effect
    from .._kinds import LinkId

__all__ = [
    "Aborting",
    "Addresses",
    "AnswerAfterEnd",
    "AskAndEnd",
    "Connector",
    "Deserter",
    "Echo",
    "EchoClient",
    "Fickle",
    "Greeting",
    "LateClose",
    "LeaveOnGoodbye",
    "Listener",
    "Misdirected",
    "Parting",
    "Paused",
    "Sleeper",
    "SpeakAndWait",
    "TransferClient",
    "TransferListener",
]


@record
class Addresses:
    """Where the connecting engine finds things: the listener, a port where nobody listens, a name nobody has."""

    host: str
    port: int
    closed_port: int
    unknown_host: str


class Listener(ToyEngine):
    """Ends once it was told to shut down and its links are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[LinkId] = set()
        self.shutting_down = False

    def received(self, event: Input) -> None:
        match event:
            case ShutdownRequested():
                self.shutting_down = True
                self.shut_down()
            case LinkAccepted(link):
                self.open.add(link)
                self.on(event)
            case _:
                self.on(event)

    def on(self, event: Input) -> None:
        """Override: take any other input."""

    def shut_down(self) -> None:
        """Override: close what is kept open until the end."""

    def close(self, link: LinkId, how: CloseHow = CloseHow.FLUSH) -> None:
        super().close(link, how)
        self.open.discard(link)

    def poll(self) -> Effect | None:
        effect = super().poll()
        if effect is None and self.shutting_down and not self.open:
            self.shutting_down = False
            return Drained()
        return effect


class Connector(ToyEngine):
    """Opens a link when it is first woken."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__()
        self.addresses = addresses
        self.deadline = 0.0

    def woken(self) -> None:
        self.dial()

    def dial(self) -> LinkId:
        return self.connect(self.addresses.host, self.addresses.port)

    def finish(self, link: LinkId, how: CloseHow = CloseHow.FLUSH) -> None:
        self.close(link, how)
        self.drain()


class Echo(Listener):
    def on(self, event: Input) -> None:
        match event:
            case BytesReceived(link, data):
                self.send(link, data)
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


class EchoClient(Connector):
    """Opens links, sends a message on each, takes the echo, ends its sending, and closes after the other side."""

    message = b"hello"

    def __init__(self, addresses: Addresses, links: int = 1) -> None:
        super().__init__(addresses)
        self.waiting = links
        self.missing: dict[LinkId, int] = {}

    def woken(self) -> None:
        for _ in range(self.waiting):
            self.dial()

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link):
                self.missing[link] = len(self.message)
                self.send(link, self.message)
            case BytesReceived(link, data):
                self.missing[link] -= len(data)
                if not self.missing[link]:
                    self.end_sending(link)
            case PeerClosed(link):
                self.close(link)
                self.waiting -= 1
                if not self.waiting:
                    self.drain()
            case _:
                pass


class TransferListener(Listener):
    def __init__(self, send_bytes: int) -> None:
        super().__init__()
        self.send_bytes = send_bytes
        self.transfer: Transfer | None = None

    def on(self, event: Input) -> None:
        if isinstance(event, LinkAccepted):
            self.transfer = Transfer(self, event.link, self.send_bytes)
            self.deadline = self.now
        elif self.transfer is not None and self.transfer.take(event):
            self.close(self.transfer.link)
            self.transfer = None

    def woken(self) -> None:
        if self.transfer is not None and self.transfer.pump():
            self.close(self.transfer.link)


class TransferClient(Connector):
    def __init__(self, addresses: Addresses, send_bytes: int) -> None:
        super().__init__(addresses)
        self.send_bytes = send_bytes
        self.transfer: Transfer | None = None

    def woken(self) -> None:
        if self.transfer is None:
            self.transfer = Transfer(self, self.dial(), self.send_bytes)
        elif self.transfer.pump():
            self.finish(self.transfer.link)

    def received(self, event: Input) -> None:
        if self.transfer is None or isinstance(event, LinkConnected):
            self.deadline = self.now
        elif self.transfer.take(event):
            self.finish(self.transfer.link)


class AnswerAfterEnd(Listener):
    """Answers what it got once the other side has ended its sending: the stream is half-closed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.got = 0

    def on(self, event: Input) -> None:
        match event:
            case BytesReceived(_, data):
                self.got += len(data)
            case PeerClosed(link):
                self.send(link, *[pattern_piece(0, CHUNK_BYTES)] * (self.got // 4))
                self.close(link)
            case _:
                pass


class AskAndEnd(Connector):
    """Asks for a big answer, ends its sending at once, and closes when the answer has ended."""

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link):
                self.send(link, b"x" * 128)
                self.end_sending(link)
            case PeerClosed(link):
                self.finish(link)
            case _:
                pass


class Aborting(Listener):
    """Aborts each link at its first bytes, with an answer still unsent."""

    def on(self, event: Input) -> None:
        match event:
            case BytesReceived(link):
                self.send(link, b"never read")
                self.close(link, CloseHow.ABORT)
            case _:
                pass


class Greeting(Listener):
    """Speaks first, and closes when the other side is gone."""

    def on(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.send(link, b"welcome")
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


class SpeakAndWait(Connector):
    """Sends a message and waits for the end, whatever it is."""

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link):
                self.send(link, b"hello")
            case PeerClosed(link):
                self.finish(link)
            case _:
                pass


class Deserter(Connector):
    """Aborts at the first bytes."""

    def received(self, event: Input) -> None:
        match event:
            case BytesReceived(link):
                self.finish(link, CloseHow.ABORT)
            case _:
                pass


class Misdirected(Connector):
    """Tries a port where nobody listens, or a name that does not exist."""

    def __init__(self, addresses: Addresses, *, named: bool) -> None:
        super().__init__(addresses)
        self.named = named

    def woken(self) -> None:
        if self.named:
            self.connect(self.addresses.host, self.addresses.closed_port)
        else:
            self.connect(self.addresses.unknown_host, self.addresses.port)

    def received(self, event: Input) -> None:
        match event:
            case ConnectFailed(_, _, detail):
                if not detail:
                    raise AssertionError("driver: ConnectFailed without a detail for people")
                self.drain()
            case _:
                pass


class Fickle(Connector):
    """Withdraws one connect in the turn that asked for it and another one a little later, then uses a third."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(addresses)
        self.second: LinkId | None = None

    def woken(self) -> None:
        if self.second is None:
            self.close(self.dial())
            self.second = self.dial()
            self.deadline = self.now
        else:
            self.close(self.second, CloseHow.ABORT)
            self.dial()

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link) if link != self.second:
                self.finish(link)
            case _:
                pass


class Sleeper(Connector):
    """Has no links, only deadlines; some are moved or dropped before they come."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(addresses)
        self.wakes = 0

    def woken(self) -> None:
        self.wakes += 1
        if self.wakes == 4:
            self.drain()
        else:
            self.deadline = self.now if self.wakes == 1 else self.now + 0.001


class Paused(TransferListener):
    """Does not read until a deadline has come."""

    def on(self, event: Input) -> None:
        super().on(event)
        if isinstance(event, LinkAccepted):
            self.set_reading(event.link, False)
            self.deadline = self.now + 0.02

    def woken(self) -> None:
        if self.transfer is not None:
            self.set_reading(self.transfer.link, True)
            self.end_sending(self.transfer.link)


class Parting(Listener):
    """Sends a lot and closes in the same turn: everything must arrive, then the end."""

    def on(self, event: Input) -> None:
        if isinstance(event, BytesReceived):
            self.send(event.link, *[pattern_piece(0, CHUNK_BYTES)] * 32)
            self.close(event.link)


class LateClose(Listener):
    """Says goodbye when the other side has ended, but closes only when it is told to shut down."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: LinkId | None = None

    def on(self, event: Input) -> None:
        if isinstance(event, PeerClosed):
            self.send(event.link, b"goodbye")
            self.kept = event.link

    def shut_down(self) -> None:
        if self.kept is not None:
            self.close(self.kept)


class LeaveOnGoodbye(Connector):
    """Ends its sending at once and closes when it has heard the goodbye."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__(addresses)
        self.missing = len(b"goodbye")

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link):
                self.end_sending(link)
            case BytesReceived(link, data):
                self.missing -= len(data)
                if not self.missing:
                    self.finish(link)
            case _:
                pass
