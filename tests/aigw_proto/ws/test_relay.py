"""Two relaying connections back to back, between two endpoints: what one says the other hears, also at the end."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._entropy import Entropy
from aigw_proto._kinds import Role
from aigw_proto._limits import WebSocketLimits
from aigw_proto.testing import ConnectionPair, run_machine
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    CloseReceived,
    ConnectionState,
    DeflateParameters,
    Delivery,
    MessagePiece,
    Opcode,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)
from aigw_proto.ws._deflate import Deflater
from support.frame_streams import valid_messages
from support.frames import parse

if TYPE_CHECKING:
    from collections.abc import Callable

DEFLATES = [None, DeflateParameters(), DeflateParameters(True, True, 8, 9)]


def new(
    role: Role,
    delivery: Delivery = Delivery.RELAY,
    *,
    deflate: DeflateParameters | None = None,
    limits: WebSocketLimits | None = None,
) -> WSConnection:
    limits = limits or WebSocketLimits()
    entropy = Entropy(lambda count: bytes(index * 89 & 0xFF for index in range(count)))
    return WSConnection(role, now=0, limits=limits, entropy=entropy, deflate=deflate, delivery=delivery)


class Relayed:
    """A client, a relay of two connections, and a provider."""

    def __init__(
        self,
        *,
        near: DeflateParameters | None = None,
        far: DeflateParameters | None = None,
        limits: WebSocketLimits | None = None,
        endpoints: Delivery = Delivery.MESSAGES,
        cut: Callable[[bytes], list[bytes]] | None = None,
    ) -> None:
        self.client = new(Role.CLIENT, endpoints, deflate=near)
        self.provider = new(Role.SERVER, endpoints, deflate=far)
        self.near = new(Role.SERVER, deflate=near, limits=limits)
        self.far = new(Role.CLIENT, deflate=far, limits=limits)
        self.left: ConnectionPair[WebSocketEvent, WebSocketEvent] = ConnectionPair(self.client, self.near, cut=cut)
        self.right: ConnectionPair[WebSocketEvent, WebSocketEvent] = ConnectionPair(self.far, self.provider, cut=cut)
        self.seen: list[WebSocketEvent] = []

    def states(self) -> tuple[ConnectionState, ConnectionState]:
        """Where the two connections of the relay stand."""
        return self.near.state, self.far.state

    def pump(self) -> None:
        """Carry everything as far as it goes."""
        quiet = False
        while not quiet:
            self.left.pump()
            self.right.pump()
            quiet = not self.left.right_events and not self.right.left_events
            self._pass_on(self.left.right_events, self.far)
            self._pass_on(self.right.left_events, self.near)

    def _pass_on(self, events: list[WebSocketEvent], other: WSConnection) -> None:
        for event in events:
            self.seen.append(event)
            if isinstance(event, MessagePiece):
                other.relay_piece(event)
            elif isinstance(event, CloseReceived):
                other.send_close(None if event.code == 1005 else event.code, event.reason, now=0)
        events.clear()


def send(endpoint: WSConnection, messages: list[tuple[Opcode, list[bytes]]]) -> list[WebSocketEvent]:
    """Send all messages and return what the other endpoint is to hear: pings end at the relay."""
    heard: list[WebSocketEvent] = []
    for opcode, fragments in messages:
        whole = b"".join(fragments)
        if opcode is Opcode.PING:
            endpoint.send_ping(whole)
        elif opcode is Opcode.PONG:
            endpoint.send_pong(whole)
        else:
            for index, fragment in enumerate(fragments):
                endpoint.send_piece(opcode, fragment, finished=index == len(fragments) - 1)
            heard.append(TextMessage(whole.decode()) if opcode is Opcode.TEXT else BinaryMessage(whole))
    return heard


@given(
    asked=valid_messages(),
    told=valid_messages(),
    near=st.sampled_from(DEFLATES),
    far=st.sampled_from(DEFLATES),
    least=st.sampled_from([1, 7, 1 << 15]),
    cuts=st.lists(st.integers(100, 9000), min_size=1, max_size=5),
)
@settings(max_examples=60)
def test_endpoints_hear_each_other_through_a_relay(
    asked: list[tuple[Opcode, list[bytes]]],
    told: list[tuple[Opcode, list[bytes]]],
    near: DeflateParameters | None,
    far: DeflateParameters | None,
    least: int,
    cuts: list[int],
) -> None:
    def cut(data: bytes) -> list[bytes]:
        sizes = itertools.cycle(cuts)
        places = [0]
        while places[-1] < len(data):
            places.append(min(places[-1] + next(sizes), len(data)))
        return [data[start:end] for start, end in itertools.pairwise(places)]

    limits = WebSocketLimits(relayed_piece_bytes=least, piece_bytes=5000)
    relayed = Relayed(near=near, far=far, limits=limits, cut=cut)
    heard_by_provider, heard_by_client = send(relayed.client, asked), send(relayed.provider, told)
    relayed.pump()
    relayed.client.send_close(4000, "done", now=0)
    relayed.pump()
    relayed.left.end_right()
    relayed.right.end_right()
    said_by_client = [event for event in relayed.right.right_events if not isinstance(event, Pong)]
    said_by_provider = [event for event in relayed.left.left_events if not isinstance(event, Pong)]
    assert said_by_client == [*heard_by_provider, Closed(4000, "done", True)]
    assert said_by_provider == [*heard_by_client, Closed(4000, "", True)]
    for messages, events in ((told, relayed.right.right_events), (asked, relayed.left.left_events)):
        pings = [Pong(fragments[0]) for opcode, fragments in messages if opcode is Opcode.PING]
        assert [event for event in events if isinstance(event, Pong)] == pings, "the relay answers pings"
    assert relayed.states() == (ConnectionState.CLOSED, ConnectionState.CLOSED)


@pytest.mark.parametrize("code", [None, 1000, 4999])
def test_what_the_far_side_says_after_a_close_still_arrives(code: int | None) -> None:
    relayed = Relayed(endpoints=Delivery.RELAY)
    relayed.provider.send_piece(Opcode.TEXT, b"still ", finished=False)
    relayed.client.send_close(code, now=0)
    relayed.pump()
    told = 1005 if code is None else code
    assert relayed.right.right_events == [CloseReceived(told, "")]
    assert relayed.states() == (ConnectionState.ANSWERING, ConnectionState.CLOSING)
    relayed.provider.send_piece(Opcode.TEXT, b"there", finished=True)
    relayed.provider.send_binary(b"and more")
    relayed.provider.send_close(1001, "over", now=0)
    relayed.pump()
    relayed.left.end_right()
    relayed.right.end_right()
    assert relayed.left.left_events == [
        MessagePiece(Opcode.TEXT, b"still ", True, False),
        MessagePiece(Opcode.TEXT, b"there", False, True),
        MessagePiece(Opcode.BINARY, b"and more", True, True),
        CloseReceived(1001, "over"),
        Closed(1001, "over", True),
    ]
    assert relayed.seen[-1] == Closed(told, "", True)
    assert relayed.right.left_events == [Closed(1001, "over", True)]
    assert relayed.states() == (ConnectionState.CLOSED, ConnectionState.CLOSED)


def test_both_ends_close_at_once() -> None:
    relayed = Relayed()
    relayed.client.send_close(4001, now=0)
    relayed.provider.send_close(4002, now=0)
    for pair, relay in ((relayed.left, relayed.near), (relayed.right, relayed.far)):
        pair.pump()
        assert relay.state is ConnectionState.ANSWERING
    relayed.pump()
    relayed.left.end_right()
    relayed.right.end_right()
    assert relayed.left.left_events == [Closed(4002, "", True)]
    assert relayed.right.right_events == [Closed(4001, "", True)]


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc3"])
def test_text_passes_as_it_is(payload: bytes) -> None:
    relayed = Relayed(endpoints=Delivery.RELAY)
    relayed.client.send_text(payload)
    relayed.pump()
    assert relayed.right.right_events == [MessagePiece(Opcode.TEXT, payload, True, True)]


def test_fragments_stay_fragments_and_pings_stay_behind() -> None:
    relayed = Relayed(endpoints=Delivery.RELAY)
    for data in (b"", b"a", b"", b"b"):
        relayed.client.send_piece(Opcode.TEXT, data, finished=False)
        relayed.client.send_ping(data)
    relayed.client.send_piece(Opcode.TEXT, b"", finished=True)
    relayed.left.pump()
    assert [event for event in relayed.left.right_events if isinstance(event, Ping)] == [
        Ping(b""),
        Ping(b"a"),
        Ping(b""),
        Ping(b"b"),
    ]
    relayed.pump()
    assert relayed.right.right_events == [
        MessagePiece(Opcode.TEXT, b"", True, False),
        MessagePiece(Opcode.TEXT, b"a", False, False),
        MessagePiece(Opcode.TEXT, b"", False, False),
        MessagePiece(Opcode.TEXT, b"b", False, False),
        MessagePiece(Opcode.TEXT, b"", False, True),
    ]


MIB = 1 << 20


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("read", [1448, 16_384, 65_536, 262_144])
def test_a_frame_of_64_mib_in_small_reads_is_few_fragments_and_little_memory(role: Role, read: int) -> None:
    key = bytes(4) if role is Role.SERVER else b""
    header = b"\x82" + (b"\xff" if key else b"\x7f") + (64 * MIB).to_bytes(8, "big") + key
    chunk = bytes(read)
    incoming, outgoing = new(role), new(Role.SERVER)
    total, fragments = 0, 0
    tracemalloc.start()
    events = run_machine(incoming, [header])
    left = 64 * MIB
    while left:
        events += run_machine(incoming, [chunk if left >= read else chunk[:left]])
        left = max(0, left - read)
        for event in events:
            assert isinstance(event, MessagePiece)
            assert len(event.data) <= 65_536
            total += len(event.data)
            fragments += 1
            outgoing.send_piece(event.opcode, event.data, finished=event.finished)
        events.clear()
        outgoing.data_to_send()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 64 * MIB
    assert fragments <= 2048, "`websockets` takes 4096 in a message"
    assert not outgoing.sending_message
    assert peak < MIB + 2 * read


def test_a_compressed_frame_in_small_reads_is_few_fragments() -> None:
    state, words = 1, bytearray()
    for _ in range(MIB // 4):  # what does not compress gives most fragments
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        words += (state >> 32).to_bytes(4, "big")
    payload = Deflater(window_bits=15, no_context_takeover=False).compress(bytes(words), finished=True)
    wire = b"\xc2\x7f" + len(payload).to_bytes(8, "big") + payload
    incoming = new(Role.CLIENT, deflate=DeflateParameters())
    outgoing = new(Role.SERVER, deflate=DeflateParameters())
    for start in range(0, len(wire), 1448):
        for event in run_machine(incoming, [wire[start : start + 1448]]):
            assert isinstance(event, MessagePiece)
            outgoing.send_piece(event.opcode, event.data, finished=event.finished)
    relayed = b"".join(outgoing.data_to_send())
    assert len(parse(relayed)) <= MIB // 32_768 + 1
    outgoing.send_piece(Opcode.BINARY, b"next", finished=True)
    receiver = new(Role.CLIENT, Delivery.MESSAGES, deflate=DeflateParameters())
    events = run_machine(receiver, [relayed, *outgoing.data_to_send()])
    assert events == [BinaryMessage(bytes(words)), BinaryMessage(b"next")]
