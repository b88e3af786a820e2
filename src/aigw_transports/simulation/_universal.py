"""Clients of the universal API, played by hand, and what must hold of what comes to them.

A client checks each frame as it comes: that it belongs
to a request of its own, that nothing is missing before it, that nothing comes after an end. Neither knows anything of
the gateway between them; what they have sent and seen is all that is judged.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Literal

import msgspec

from ._plan import is_smooth
from ._universal_provider import Order, UniversalProvider
from ._wire import CLOSE, FIN, PING, PONG, TEXT, FrameReader, close_payload, frame, upgrade_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..memory import Faults, World

__all__ = ["Flood", "Request", "UniversalClient"]

Flood = Literal["pings", "fragments", "messages"]


class _Config(msgspec.Struct):
    tries: int = msgspec.field(default=1, name="maxAttempts")
    timeout: int | None = msgspec.field(default=None, name="requestTimeout")


class _Metadata(msgspec.Struct):
    event_id: str = msgspec.field(name="eventId")
    log_id: str | None = msgspec.field(default=None, name="logId")
    status: int | None = None
    step: str | None = None
    error: str | None = None
    cancelled: bool = False


class _Frame(msgspec.Struct):
    type: str
    metadata: _Metadata
    response: msgspec.Raw = msgspec.Raw()


_decode_frame = msgspec.json.Decoder(_Frame).decode


@dataclasses.dataclass(slots=True)
class Request:
    """One request of a client, and what has come of it."""

    order: Order
    body: bytes
    asked_at: float
    most_seconds: float
    """How long it may take, by its own settings and the gateway's limits."""
    may_fail: bool
    """Whether something was arranged that it may fail of."""
    most_tries: int = 1
    """At its provider."""
    timeout: int | None = None
    """Of each try, in milliseconds."""
    is_direct: bool = True
    """No other provider was to be tried first."""
    frames: int = 0
    """How many came for it."""
    next_item: int = 0
    is_open: bool = False
    ended_at: float | None = None
    cancelled: bool = False
    is_refused: bool = False
    """Its answer is its provider's refusal."""
    status: int | None = None
    error: str | None = None

    def demand(self, condition: object, complaint: str) -> None:
        """Complain about this request when the condition does not hold."""
        if not condition:
            raise AssertionError(f"{self.order.tag}: {complaint}")


class UniversalClient:
    """One socket with many requests, judged frame by frame."""

    def __init__(self, world: World, gateway: str, port: int = 80, *, faults: Faults | None = None) -> None:
        """Connect to the gateway at `gateway:port`."""
        self.world = world
        self.faults = faults or world.faults
        self.requests: dict[str, Request] = {}
        self.is_open = False
        self.left = False
        """It has gone, or said that it goes."""
        self.got_close: tuple[int | None, bytes] | None = None
        self.ended = False
        self.pongs = 0
        self.hindered = False
        """It has not read all the time."""
        self.is_reading = True
        self.late_cancels = 0
        """Requests that had ended before they were taken back."""
        self.disturbed = False
        """Something befell its link that is not among the faults of that."""
        self._is_flooding = False
        self.on_open: Callable[[], None] = lambda: None
        self.on_ended: Callable[[Request], None] = lambda _: None
        self._head = b""
        self._reader = FrameReader(masked=False)
        self.peer = world.peer(gateway, port, faults=faults)
        self.peer.on_data = self._on_data
        self.peer.on_end = self._on_end
        self.peer.send(upgrade_request("/v1/account/default"))

    @property
    def is_alive(self) -> bool:
        """It is there, and so is its stream."""
        return not self.left and not self.ended and self.got_close is None and self.peer.failure is None

    @property
    def is_counting(self) -> bool:
        """It has seen everything that was sent to it."""
        return not self.left and self.peer.failure is None and is_smooth(self.faults) and not self.disturbed

    @property
    def is_waiting(self) -> bool:
        """Some of its requests have not ended, and still may."""
        return self.is_alive and any(request.ended_at is None for request in self.requests.values())

    def ask(
        self,
        order: Order,
        *,
        provider: str = "custom-hand",
        before: str | None = None,
        config: str = "{}",
        most_seconds: float,
        may_fail: bool,
    ) -> None:
        """Send a request; with `before`, that provider is to be tried first."""
        body = json.dumps(dataclasses.asdict(order), ensure_ascii=False, separators=(", ", " : ")).encode()
        steps = [provider] if before is None else [before, provider]
        parts = [
            b'{"eventId":"%b","provider":"%b","endpoint":"x","headers":{},"config":%b,"query":%b}'
            % (order.tag.encode(), step.encode(), config.encode(), body)
            for step in steps
        ]
        request = parts[0] if len(parts) == 1 else b"[%b]" % b",".join(parts)
        settings = msgspec.json.decode(config, type=_Config)
        self.requests[order.tag] = Request(
            order,
            body,
            self.world.time,
            most_seconds,
            may_fail,
            most_tries=settings.tries,
            timeout=settings.timeout,
            is_direct=before is None,
        )
        self._send(FIN | TEXT, b'{"type":"universal.create","request":%b}' % request)

    def cancel(self, tag: str) -> None:
        """Take a request back."""
        self.requests[tag].cancelled = True
        self._send(FIN | TEXT, b'{"type":"universal.cancel","eventId":"%b"}' % tag.encode())

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._send(FIN | PING, b"ping")

    def flood(self, kind: Flood, count: int) -> None:
        """Send many messages at once that make work, and no request."""
        if kind == "pings":
            data = frame(FIN | PING, b"ping", masked=True)
        elif kind == "fragments":
            data = frame(0, b"", masked=True)
            self._send(TEXT, b"")
        else:
            data = frame(FIN | TEXT, b'{"type":"universal.cancel","eventId":"nobody"}', masked=True)
            self._is_flooding = True
        if self.is_open and self.is_alive:
            self.peer.send(data * count)

    def close(self) -> None:
        """Say Close."""
        if self.is_alive:
            self._send(FIN | CLOSE, close_payload(1000))
            self.left = True

    def break_off(self) -> None:
        """Break the stream."""
        self.left = True
        self.peer.reset()

    def read(self, enabled: bool, *, bytes_per_second: float | None = None) -> None:
        """Read nothing for a while, or read on, at a rate."""
        self.hindered = True
        self.is_reading = enabled
        self.peer.set_reading(enabled, bytes_per_second=bytes_per_second)

    def _send(self, head: int, payload: bytes) -> None:
        if self.is_open and self.is_alive:
            self.peer.send(frame(head, payload, masked=True))

    # ---- what comes ------------------------------------------------------------------------------------------------

    def _on_end(self) -> None:
        self.ended = True
        if not self.left:
            self.peer.close()

    def _on_data(self, _: bytes) -> None:
        data = self.peer.take()
        if not self.is_open:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            known = (
                (b"101", b"503") if is_smooth(self.faults) and not self.disturbed else (b"101", b"400", b"408", b"503")
            )
            assert head[9:12] in known, f"an answer to the upgrade: {head!r}"
            if head[9:12] != b"101":
                self.left = True
                return
            self.is_open = True
            self.on_open()
        for got in self._reader.feed(data):
            # A pong is no data frame, and so may follow (RFC 6455 section 5.5.1).
            assert self.got_close is None or got.head == FIN | PONG, "a frame behind a Close"
            if got.head == FIN | TEXT:
                self._take(got.payload)
            elif got.head == FIN | PING:
                self._send(FIN | PONG, got.payload)
            elif got.head == FIN | PONG:
                assert got.payload == b"ping", f"a pong with {got.payload!r}"
                self.pongs += 1
            else:
                assert got.head == FIN | CLOSE, f"a frame with the head {got.head:#x}"
                self._take_close(got.payload)

    def _take_close(self, payload: bytes) -> None:
        if not self.left:
            self.peer.send(frame(FIN | CLOSE, payload, masked=True))
        self.got_close = (int.from_bytes(payload[:2], "big") if payload else None, payload[2:])

    def _take(self, text: bytes) -> None:
        got = _decode_frame(text)
        if self._is_flooding and got.metadata.event_id == "nobody":
            return
        request = self.requests.get(got.metadata.event_id)
        assert request is not None, f"an answer to a foreign request, or to none: {text[:200]!r}"
        if request.cancelled and got.metadata.status == 404 and got.metadata.step is None:
            request.demand(request.ended_at is not None, "cannot be cancelled, and has not ended")
            self.late_cancels += 1
            return
        request.demand(request.ended_at is None, f"a frame behind its end: {text[:200]!r}")
        request.frames += 1
        match got.type:
            case "universal.created":
                self._begin(request, got)
            case "universal.stream":
                self._go_on(request, got)
            case "universal.done":
                self._finish(request, got.metadata)
            case _:
                raise AssertionError(f"a frame of type {got.type!r}")

    def _begin(self, request: Request, got: _Frame) -> None:
        request.demand(not request.is_open, "begins twice")
        request.is_open, request.status = True, got.metadata.status
        if not got.response:
            request.demand(got.metadata.status == 200, f"a stream with status {got.metadata.status}")
            return
        response = bytes(got.response)
        self._end(request)
        if got.metadata.status == 200:
            whole = request.order.whole() if request.order.form == "whole" else None
            request.demand(response == whole, f"its answer is {response[:200]!r}")
        elif response == UniversalProvider.REFUSAL:
            request.is_refused = True
            request.demand(request.order.fault == "status", "is refused, and not by its provider")
            request.demand(got.metadata.status == 503, f"its provider's status became {got.metadata.status}")
        else:
            request.error = response.decode()

    def _go_on(self, request: Request, got: _Frame) -> None:
        request.demand(request.is_open, "goes on before it has begun")
        order, number = request.order, request.next_item
        request.demand(
            number < order.items and bytes(got.response) == order.item(number),
            f"item {number} of {order.items} is {bytes(got.response)[:100]!r}",
        )
        request.next_item += 1

    def _finish(self, request: Request, metadata: _Metadata) -> None:
        self._end(request)
        if metadata.cancelled:
            request.demand(request.cancelled, "was cancelled, but not by its client")
            return
        request.demand(request.is_open, "ends before it has begun")
        request.error = metadata.error
        if metadata.error is None:
            request.demand(
                request.next_item == request.order.items, f"{request.next_item} of {request.order.items} items came"
            )

    def _end(self, request: Request) -> None:
        request.ended_at = self.world.time
        self.on_ended(request)

    # ---- judgement -------------------------------------------------------------------------------------------------

    def judge(self, provider: UniversalProvider, *, links_are_smooth: bool, slack_seconds: float) -> None:
        """Judge all requests, when nothing more can come. `links_are_smooth` is for those of the provider."""
        smooth = links_are_smooth and is_smooth(self.faults)
        for tag, request in self.requests.items():
            for body in provider.bodies.get(tag, ()):
                request.demand(body == request.body, "its query changed on its way")
            if not self.is_alive:
                continue
            request.demand(request.ended_at is not None, "never ended")
            if request.cancelled or not smooth:
                continue
            request.demand(request.error is None or request.may_fail, f"failed for no reason: {request.error}")
            if not self.hindered and request.ended_at is not None:
                took = request.ended_at - request.asked_at
                request.demand(took <= request.most_seconds + slack_seconds, f"took {took:.3f} s")
