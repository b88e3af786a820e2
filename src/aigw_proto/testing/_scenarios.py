"""Scenarios for drivers: pairs of small engines, one listening and one connecting, with their control traces.

Together they use every effect and meet every input. What a driver may vary (how bytes are cut, when a backlog is
reported) does not change what they do, so that each has one control trace, the same for every driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._kinds import record
from ._scenario_engines import (
    Aborting,
    Addresses,
    AnswerAfterEnd,
    AskAndEnd,
    Deserter,
    Echo,
    EchoClient,
    Fickle,
    Greeting,
    LateClose,
    LeaveOnGoodbye,
    Listener,
    Misdirected,
    Parting,
    Paused,
    Sleeper,
    SpeakAndWait,
    TransferClient,
    TransferListener,
)
from ._scenario_transfer import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._toy import ToyEngine

__all__ = ["SCENARIOS", "Scenario"]

_TRANSFER_BYTES = 4 * 1024 * 1024


@record
class Scenario:
    """Two engines and what they must have experienced, link by link; see `check_driver`.

    `connected` is the control trace of every link of the connecting engine, `accepted` of the listening one; None for
    a side whose luck depends on timing. `counted` says whether the traces end with the bytes received and sent,
    `ordered` whether the rest must come in this order.
    """

    name: str
    listener: Callable[[], ToyEngine]
    connector: Callable[[Addresses], ToyEngine]
    connected: tuple[str, ...] | None
    accepted: tuple[str, ...] | None
    counted: bool = True
    ordered: bool = True


def _bytes(received: int, sent: int) -> tuple[str, str]:
    return f"received {received} bytes", f"sent {sent} bytes"


_ECHO_CONNECTED = ("Connect", "LinkConnected", "EndSending", "PeerClosed clean", "CloseLink FLUSH", *_bytes(5, 5))
_ECHO_ACCEPTED = ("LinkAccepted", "PeerClosed clean", "CloseLink FLUSH", *_bytes(5, 5))
_ASK = ("Connect", "LinkConnected", "EndSending", "PeerClosed clean", "CloseLink FLUSH")
_BIG = _TRANSFER_BYTES

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("echo", Echo, EchoClient, _ECHO_CONNECTED, _ECHO_ACCEPTED),
    Scenario("many links", Echo, lambda addresses: EchoClient(addresses, 50), _ECHO_CONNECTED, _ECHO_ACCEPTED),
    Scenario(
        "transfer both ways",
        lambda: TransferListener(_BIG),
        lambda addresses: TransferClient(addresses, _BIG),
        ("Connect", "LinkConnected", "EndSending", "PeerClosed clean", "CloseLink FLUSH", *_bytes(_BIG, _BIG)),
        ("LinkAccepted", "EndSending", "PeerClosed clean", "CloseLink FLUSH", *_bytes(_BIG, _BIG)),
        ordered=False,
    ),
    Scenario(
        "half-close",
        AnswerAfterEnd,
        AskAndEnd,
        (*_ASK, *_bytes(32 * CHUNK_BYTES, 128)),
        ("LinkAccepted", "PeerClosed clean", "CloseLink FLUSH", *_bytes(128, 32 * CHUNK_BYTES)),
    ),
    Scenario(
        "close with a backlog",
        Parting,
        SpeakAndWait,
        ("Connect", "LinkConnected", "PeerClosed clean", "CloseLink FLUSH", *_bytes(32 * CHUNK_BYTES, 5)),
        ("LinkAccepted", "CloseLink FLUSH", *_bytes(5, 32 * CHUNK_BYTES)),
    ),
    Scenario(
        "close while shutting down",
        LateClose,
        LeaveOnGoodbye,
        ("Connect", "LinkConnected", "EndSending", "CloseLink FLUSH", *_bytes(7, 0)),
        ("LinkAccepted", "PeerClosed clean", "CloseLink FLUSH", *_bytes(0, 7)),
    ),
    Scenario(
        "listener aborts",
        Aborting,
        SpeakAndWait,
        ("Connect", "LinkConnected", "PeerClosed broken", "CloseLink FLUSH"),
        ("LinkAccepted", "CloseLink ABORT"),
        counted=False,
    ),
    Scenario(
        "connector aborts",
        Greeting,
        Deserter,
        ("Connect", "LinkConnected", "CloseLink ABORT"),
        ("LinkAccepted", "PeerClosed broken", "CloseLink FLUSH"),
        counted=False,
    ),
    Scenario(
        "refused",
        Listener,
        lambda addresses: Misdirected(addresses, named=True),
        ("Connect", "ConnectFailed REFUSED", *_bytes(0, 0)),
        (),
    ),
    Scenario(
        "unknown name",
        Listener,
        lambda addresses: Misdirected(addresses, named=False),
        ("Connect", "ConnectFailed NAME", *_bytes(0, 0)),
        (),
    ),
    Scenario("withdrawn connects", Greeting, Fickle, None, None),
    Scenario("only deadlines", Listener, Sleeper, (), ()),
    Scenario(
        "paused reading",
        lambda: Paused(0),
        lambda addresses: TransferClient(addresses, _BIG // 4),
        (*_ASK, *_bytes(0, _BIG // 4)),
        (
            "LinkAccepted",
            "SetReading False",
            "SetReading True",
            "EndSending",
            "PeerClosed clean",
            "CloseLink FLUSH",
            *_bytes(_BIG // 4, 0),
        ),
        ordered=False,
    ),
)
