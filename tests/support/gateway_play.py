"""Anything that can happen to a gateway, input by input, as decisions of whoever plays: bytes, chance or a machine.

Clients of the universal and of the realtime API and providers are played by hand, without a network and in no
plausible order; the engine is not even given the time to finish its work before the next input. Whatever happens, what
the gateway sends is right by HTTP, WebSocket and the universal API, each request ends once, nothing is left open after
the drain, and no bug is logged.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import GatewayConfig, GatewayEngine, Outcome
from aigw_proto.providers import ProviderTable
from support.frames import frame
from support.gateway_ends import ClientEnd, End, ProviderEnd
from support.relays import close, realtime_config
from support.rig import base_url
from support.turns import END_CHUNK, STREAM_HEAD, Turns, answer, chunk, create, sse

T = TypeVar("T")

TARGETS = [
    b"/v1/acc/default/openai?model=m",
    b"/v1/acc/default/openai?model=m",
    b"/v1/acc/default/openai",
    b"/v1/acc/default/google-ai-studio",
    b"/v1/acc/default/deepgram/v1/listen",
    b"/v1/acc/default/elevenlabs/v1/convai/conversation?agent_id=a",
    b"/v1/acc/default/nobody",
    b"/v1/acc/other/openai",
]
HTTP_PIECES = [
    STREAM_HEAD,
    sse(b'{"n":1}'),
    sse(b"x" * 300),
    sse(b"[DONE]"),
    END_CHUNK,
    STREAM_HEAD + sse(b"1") + END_CHUNK,
    STREAM_HEAD + chunk(b"event: e\nid: 1\nretry: 5\ndata: {}\ndata: 2\r\n\r\n: c\n"),
    STREAM_HEAD + b"".join(sse(b'"%d"' % n) for n in range(60)) + END_CHUNK,
    answer(b"1"),
    answer(b'"no"', 500),
    answer(b'"no"', 429, extra="retry-after: 1\r\n"),
    answer(b'"no"', 401, extra="connection: close\r\n"),
    answer(b"\xff\x00", content_type="audio/mpeg"),
    answer(b"x" * 900),
    answer(b'{"a":1}\n{"b":2}\n', content_type="application/x-ndjson"),
    answer(b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb", content_type="application/vnd.amazon.eventstream"),
    answer(b"1", extra="content-encoding: gzip\r\n"),
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n",
    b"[" + b"1," * 19,
    b"]",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n",
    b"garbage\r\n\r\n",
]
GOOD_BEGINNINGS = [
    STREAM_HEAD,
    STREAM_HEAD + sse(b"1") + END_CHUNK,
    answer(b"1"),
    answer(b'"no"', 429, extra="retry-after: 1\r\n"),
]
GOOD_GOINGS_ON = [sse(b'{"n":2}'), sse(b"[DONE]") + END_CHUNK, END_CHUNK]
MESSAGES = [
    b"{}",
    b"[]",
    b'{"type":"universal.create"}',
    b'{"type":"universal.create","request":[]}',
    b'{"type":"universal.create","request":{"provider":"nobody","endpoint":"x","headers":{},"query":1}}',
    b'{"type":"universal.create","request":{"provider":"custom-hand","endpoint":"../x","headers":{},"query":1}}',
    b'{"type":"universal.cancel"}',
    b"\xed\xa0\x80",
    b"x" * 500,
]
EVENTS = [
    b'{"type":"session.created","session":{"model":"m"}}',
    b'{"type":"response.done","response":{"id":"r","status":"completed","usage":{"input_tokens":1,"output_tokens":2}}}',
    b'{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":3}}',
    b'{"type":"Results","start":0.0,"duration":1.5,"is_final":true}',
    b"hello",
    b"",
    b"\xff\xfe",
    b"x" * 700,
]
HEADS = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x81, 0x82, 0x88, 0xC1, 0x83]
CLOSES = [close(), close(1000, "bye"), close(1001), close(4000, "x"), close(1005), b"\x03"]
SETTINGS: list[dict[str, object]] = [
    {},
    {"maxAttempts": 3, "retryDelay": 100},
    {"requestTimeout": 300},
    {"requestTimeout": 200, "maxAttempts": 2, "retryDelay": 0},
]
MAX_CLIENTS = 6


def _config(limits: Mapping[str, Any]) -> GatewayConfig:
    """Return a configuration in which every provider, of both APIs, is played by hand."""
    config = realtime_config(limits=limits)
    hand = config.providers.with_custom("hand", base=base_url("http://provider"), allow_private_address=True)
    assert isinstance(hand, ProviderTable)
    return dataclasses.replace(config, providers=hand)


class Draw(Protocol):
    """Whoever decides: `random.Random`, or an input of the fuzzer read as decisions."""

    def random(self) -> float:
        """Decide on a number from 0 to less than 1."""
        ...

    def randrange(self, start: int, stop: int | None = None, /) -> int:
        """Decide on a whole number."""
        ...

    def choice(self, options: Sequence[T], /) -> T:
        """Decide on one of several."""
        ...

    def randbytes(self, count: int, /) -> bytes:
        """Decide on bytes; there may be fewer."""
        ...


class GatewayPlay:
    """One gateway and all that happens to it. Each action does nothing when it is not possible now."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.turns = Turns(
            _config(
                {
                    "client_high_water_bytes": draw.choice([262_144, 100, 2000]),
                    "client_low_water_bytes": draw.choice([0, 50]),
                    "client_reply_allowance_bytes": draw.choice([1_000_000, 100]),
                    "upstream_high_water_bytes": draw.choice([262_144, 100]),
                    "realtime_high_water_bytes": draw.choice([131_072, 100]),
                    "realtime_low_water_bytes": draw.choice([0, 50]),
                    "max_buffered_response_bytes": draw.choice([1_000_000, 20, 1000]),
                    "max_response_bytes": draw.choice([1_000_000, 500]),
                    "max_connections_per_origin": draw.choice([100, 1, 2]),
                    "max_idle_per_origin": draw.choice([64, 0, 1]),
                    "max_in_flight": draw.choice([256, 2]),
                    "turn_bytes": draw.choice([262_144, 1, 1000]),
                    "max_observed_bytes": draw.choice([262_144, 50]),
                    "upstream_idle_timeout_seconds": draw.choice([300.0, 300.0, 0.5]),
                    "connect_timeout_seconds": draw.choice([10.0, 10.0, 0.3]),
                    "realtime_idle_timeout_seconds": draw.choice([3600.0, None, 2.0]),
                    "realtime_session_timeout_seconds": draw.choice([86_400.0, 3.0]),
                }
            )
        )
        self.clients: dict[LinkId, ClientEnd] = {}
        self.providers: dict[LinkId, ProviderEnd] = {}
        self.connecting: set[LinkId] = set()
        self.created: Counter[str] = Counter()
        self.ended: set[LinkId] = set()
        self.shutting_down = False
        self._seen_connects = 0

    # What can happen

    def come(self, *, is_universal: bool) -> None:
        """A client comes and asks for a WebSocket, perhaps not in one piece."""
        if self.shutting_down or self.turns.drained or len(self.able(self.clients)) >= MAX_CLIENTS:
            return
        target = b"/v1/acc/default" if is_universal else self.draw.choice(TARGETS)
        link = self.turns.accept()
        self.clients[link] = client = ClientEnd(link, target, is_universal=is_universal)
        cut = self.draw.choice([0, 0, 0, 10, len(client.request) - 1])
        if cut:
            self.receive(client, client.request[:cut])
        client.has_asked = True
        self.receive(client, client.request[cut:])

    def noise(self) -> None:
        """Bytes without sense come from anybody, even before the handshake."""
        if (end := self.pick({**self.clients, **self.providers})) is not None:
            self.receive(end, self.draw.randbytes(self.draw.randrange(1, 40)))

    def create(self) -> None:
        """A client asks for an answer, mostly under a name of its own."""
        if (client := self.pick(self.universal())) is not None:
            number = self.draw.randrange(3) if self.draw.random() < 0.1 else sum(self.created.values()) + 10
            name = f"{client.link}-{number}"
            self.created[name] += 1
            self.text(client, create(name, config=self.draw.choice(SETTINGS)).encode())

    def cancel(self) -> None:
        """A client gives a request up."""
        if (client := self.pick(self.universal())) is not None:
            names = [name for name in self.created if name.startswith(f"{client.link}-")]
            name = self.draw.choice(names[-4:] or ["nobody"])
            self.text(client, json.dumps({"type": "universal.cancel", "eventId": name}).encode())

    def misbehave(self) -> None:
        """A client sends frames or messages that it should not."""
        if (client := self.pick(self.universal())) is not None:
            if self.draw.random() < 0.5:
                self.text(client, self.draw.choice(MESSAGES))
            else:
                self.receive(client, self.any_frame(masked=True))

    def speak(self) -> None:
        """A client or a provider of a realtime session sends a frame."""
        ends: dict[LinkId, End] = {link: end for link, end in self.clients.items() if not end.is_universal and end.ws}
        ends.update({link: end for link, end in self.providers.items() if end.ws})
        if (end := self.pick(ends)) is not None:
            self.receive(end, self.any_frame(masked=isinstance(end, ClientEnd)))

    def answer(self) -> None:
        """A provider sends a part of an HTTP answer, in one or two reads."""
        if (provider := self.pick({k: end for k, end in self.providers.items() if end.ws is None})) is not None:
            good = GOOD_GOINGS_ON if provider.has_answered else GOOD_BEGINNINGS
            provider.has_answered = True
            data = self.draw.choice(HTTP_PIECES if self.draw.random() < 0.3 else good)
            cut = self.draw.randrange(1, len(data) + 1)
            self.receive(provider, data[:cut])
            if cut < len(data) and self.draw.random() < 0.8:
                self.receive(provider, data[cut:])

    def accept(self) -> None:
        """A provider accepts a realtime session, and perhaps speaks at once."""
        offered = {link: end for link, end in self.providers.items() if end.offer is not None}
        if (provider := self.pick(offered)) is not None and (offer := provider.offer) is not None:
            data = provider.accept(offer)
            if self.draw.random() < 0.3:
                data += self.any_frame(masked=False)
            self.receive(provider, data)

    def connect(self) -> None:
        """A connection to a provider is there."""
        if self.connecting:
            link = self.draw.choice(sorted(self.connecting))
            self.connecting.discard(link)
            self.providers[link] = ProviderEnd(link)
            self.turns.feed(LinkConnected(link))
            self.look()

    def fail(self) -> None:
        """A connection to a provider fails."""
        if self.connecting:
            link = self.draw.choice(sorted(self.connecting))
            self.connecting.discard(link)
            self.turns.feed(ConnectFailed(link, self.draw.choice(list(ConnectFailure)), "detail"))
            self.look()

    def cut(self) -> None:
        """Somebody ends the stream, cleanly or not."""
        if (end := self.pick({**self.clients, **self.providers})) is not None:
            self.ended.add(end.link)
            self.turns.feed(PeerClosed(end.link, self.draw.random() < 0.5))
            self.look()

    def stall(self) -> None:
        """Somebody reads nothing, or not all, of what was sent."""
        links = sorted(link for link in self.turns.unreported if link not in self.turns.closed)
        if links and not self.turns.drained:
            link = self.draw.choice(links)
            self.turns.report(link, self.draw.choice([None, None, 0, 1]))
            self.look()

    def resume(self) -> None:
        """Everybody reads, all or half of what waits."""
        for link in [*self.clients, *self.providers]:
            if link not in self.turns.closed and not self.turns.drained and self.turns.backlog(link):
                self.turns.report(link, self.draw.choice([0, self.turns.backlog(link) // 2]))
        self.look()

    def settle(self) -> None:
        """The engine is given the time to finish its work."""
        if not self.turns.drained:
            self.turns.settle()
            self.look()

    def pass_time(self) -> None:
        """Time passes."""
        self.turns.advance(self.draw.choice([0.05, 0.05, 0.05, 0.2, 0.2, 1.0, 12.0, 40.0]))
        self.look()

    def trouble(self) -> None:
        """Sometimes something goes wrong; too often, and nothing else would ever come far."""
        if self.draw.random() < 0.3:
            self.draw.choice([self.noise, self.cut, self.cut, self.fail, self.misbehave])()
        elif self.draw.random() < 0.02:
            self.shut_down()

    def shut_down(self) -> None:
        """The gateway is asked to end."""
        if not self.shutting_down and not self.turns.drained:
            self.shutting_down = True
            self.turns.feed(ShutdownRequested(self.draw.choice([0.0, 0.5, 30.0])))
            self.look()

    # How it happens

    def able(self, ends: dict[LinkId, Any]) -> list[LinkId]:
        """Return the links that can bring something now."""
        gone = {*self.turns.closed, *self.ended}
        return sorted(link for link in ends if link not in gone and self.turns.reading.get(link, True))

    def pick(self, ends: dict[LinkId, T]) -> T | None:
        """Decide on one of those that can bring something."""
        links = [] if self.turns.drained else self.able(ends)
        return ends[self.draw.choice(links)] if links else None

    def universal(self) -> dict[LinkId, ClientEnd]:
        """Return the clients with a WebSocket of the universal API."""
        return {link: end for link, end in self.clients.items() if end.is_universal and end.ws is not None}

    def any_frame(self, *, masked: bool) -> bytes:
        """Decide on a frame, mostly a good one."""
        head = self.draw.choice(HEADS)
        payload = self.draw.choice(CLOSES if head == 0x88 else EVENTS)
        return frame(head, payload[:100] if head & 0x08 else payload, masked=masked)

    def text(self, client: ClientEnd, message: bytes) -> None:
        """Let a client send a text message."""
        self.receive(client, frame(0x81, message))

    def receive(self, end: End, data: bytes) -> None:
        """Let bytes come, unless the link has ended meanwhile or is not read."""
        if data and not self.turns.drained and end.link in self.able({end.link: end}):
            self.turns.feed(BytesReceived(end.link, data))
            self.look()

    def look(self) -> None:
        """Learn what the engine asked for, and read what it sent."""
        turns = self.turns
        self.connecting.update(connect.link for connect in turns.connects[self._seen_connects :])
        self._seen_connects = len(turns.connects)
        self.connecting.difference_update(turns.closed)
        for link, end in [*self.clients.items(), *self.providers.items()]:
            end.hear(turns.take(link))
        bugs = [log for log in turns.logs if log.exception is not None]
        assert not bugs, bugs[0]

    # How it ends

    def finish(self) -> None:
        """Shut down, let everything come to its end, and look at what is left."""
        turns = self.turns
        if not turns.drained and not self.shutting_down:
            turns.feed(ShutdownRequested(20.0))
        for _ in range(300):
            if turns.drained:
                break
            self.look()
            self.resume()
            turns.advance(1.0)
        assert turns.drained, "the gateway never ends"
        self.look()
        self.check()

    def check(self) -> None:
        """Nothing is left, and each request has ended once."""
        turns = self.turns
        turns.engine.finish()
        core = turns.gateway._core
        assert isinstance(turns.gateway, GatewayEngine)
        assert not core.links
        assert not core.sessions
        assert not core.pool._sites
        assert core.deadlines.earliest() is None
        assert not turns.closed or Counter(turns.closed).most_common(1)[0][1] == 1
        assert len({record.log_id for record in turns.records}) == len(turns.records)
        ended = Counter(record.event_id for record in turns.records if record.outcome is not Outcome.REFUSED)
        for name, count in self.created.items():
            assert ended[name] <= count
        for client in self.clients.values():
            if client.is_universal:
                self.check_frames(client)

    def check_frames(self, client: ClientEnd) -> None:
        """The frames of each request come in their order: a whole answer, or a head, chunks and an end."""
        kinds: dict[str, str] = {}
        for each in client.frames:
            name = each["metadata"].get("eventId")
            if name is None or each["metadata"].get("status") == 404:  # the error of a cancellation that came late
                continue
            kind = "w" if "response" in each and each["type"] == "universal.created" else each["type"].split(".")[1][0]
            kinds[name] = kinds.get(name, "") + kind
        for name, letters in kinds.items():
            if self.created[name] == 1:
                ended = any(record.event_id == name for record in self.turns.records)
                form = r"w|d|cs*d?" if ended else ""
                assert re.fullmatch(form, letters), f"{name} was sent {letters}"


def actions(play: GatewayPlay) -> list[Callable[[], None]]:
    """Return all that can happen; what keeps a play going is there more than once."""
    often = [play.create, play.create, play.answer, play.answer, play.connect, play.connect, play.speak, play.speak]
    often += [play.accept, play.accept, play.settle, play.pass_time, play.cancel, play.stall, play.resume]
    return [*often, lambda: play.come(is_universal=True), lambda: play.come(is_universal=False), play.trouble]
