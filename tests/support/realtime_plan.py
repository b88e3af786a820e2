"""Draws what the ends of realtime sessions do, and what goes wrong with them, from one source of chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from aigw_proto._limits import GatewayLimits, WebSocketLimits
from aigw_proto.ws import DeflatePolicy
from aigw_transports.memory import Faults
from support.realtime_frames import BINARY, CLOSE, FIN, PING, PONG, TEXT, Message, close_payload, frame
from support.realtime_manner import Answer, Close, Leaving, Manner, Reading
from support.realtime_world import End, Step, speech

__all__ = ["Plan", "Side", "Steps"]

_FLUSH_BYTES = 32 * 1024
CODES = [1000, 1000, 1001, 1008, 1011, 3000, 4007, None]
REASONS = ["", "bye", "{} has said all", "{} is 日本語 " + "ü" * 40, "{}" + "x" * 100]
_OFTEN = ["leaves", "breaks", "stops", "pauses", "slow", "deaf", "hangs"]
TROUBLES = [*_OFTEN, *_OFTEN, "hush", "mute", "cuts", "gone", "stalls", "resets"]
LAZY = {"stops", "pauses", "slow", "deaf"}
"""Troubles that show only when there is much to be read."""
Steps = list[tuple[float, Step]]


@dataclass
class Side:
    """What is drawn for one end of a session."""

    name: str
    link: Faults
    manner: Manner
    trouble: str = ""
    steps: Steps = field(default_factory=Steps)
    """What belongs to the trouble, somewhere in the script."""


class Plan:
    """Draws what one run does."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        draw = self.random
        self.limits = self._limits()
        self.websocket = self._websocket()
        self.deflate = DeflatePolicy() if draw.random() < 0.6 else None
        self.drain_at = draw.uniform(0.0, 12.0) if draw.random() < 0.15 else None
        self.grace_seconds = draw.choice([0.0, 2.0, 8.0])

    def _limits(self) -> GatewayLimits:
        choice = self.random.choice
        high = choice([512, 2048, 2048, 8192, 131_072])
        return GatewayLimits(
            realtime_high_water_bytes=high,
            realtime_low_water_bytes=choice([0, high // 4, high // 2]),
            realtime_open_timeout_seconds=choice([2.0, 9.0]),
            realtime_idle_timeout_seconds=choice([None, 3600.0, 3600.0, 15.0]),
            realtime_session_timeout_seconds=choice([None, 86_400.0, 86_400.0, 20.0]),
            realtime_max_message_bytes=choice([1 << 62] * 5 + [3000]),
            stuck_timeout_seconds=choice([8.0, 30.0]),
            turn_bytes=choice([2000, 262_144]),
        )

    def _websocket(self) -> WebSocketLimits:
        choice = self.random.choice
        piece = choice([512, 4096, 4096, 65_536])
        return WebSocketLimits(
            piece_bytes=piece,
            relayed_piece_bytes=min(piece, choice([1, 256, 32_768])),
            ping_interval_seconds=choice([None, 6.0, 6.0, 30.0]),
            pong_timeout_seconds=choice([5.0, 30.0]),
            close_timeout_seconds=choice([4.0, 10.0]),
            max_pending_control_bytes=choice([500, 500, 65_536]),
        )

    @property
    def most_unsent_bytes(self) -> int:
        """What may wait for one link: the mark, one flush and one piece more, pongs, and what the gateway says."""
        most = self.limits.realtime_high_water_bytes + _FLUSH_BYTES + self.websocket.piece_bytes
        return most + self.websocket.max_pending_control_bytes + 2048

    def side(self, name: str) -> Side:
        """Return an end that does all that has to be done, on a link that loses nothing and holds nothing up."""
        draw, choice = self.random, self.random.choice
        link = Faults(
            latency_seconds=choice([0.0, 0.001, 0.001, 0.05]),
            jitter_seconds=choice([0.0, 0.0, 0.02]),
            buffer_bytes=choice([1024, 16_384, 131_072]),
            max_read_bytes=choice([3, 100, 1500, 65_536]),
            torn=choice([0.0, 0.3, 0.9]),
        )
        manner = Manner(
            answer=choice([Answer.AT_ONCE, Answer.AT_ONCE, Answer.LATER]),
            answer_seconds=draw.uniform(0.0, self.websocket.close_timeout_seconds / 4),
            answer_close=self.close("answer") if draw.random() < 0.4 else None,
            squeezes=choice([None, None, "keep", "fresh"]),
        )
        return Side(name, link, manner)

    def sides(self, number: int) -> tuple[Side, Side]:
        """Return a session's client and provider; more often than not something goes wrong with one, or with both."""
        draw = self.random
        sides = self.side(f"client-{number}"), self.side(f"provider-{number}")
        if draw.random() < 0.55:
            first = draw.randrange(2)
            self.spoil(sides[first], is_client=first == 0)
            if draw.random() < 0.2:
                self.spoil(sides[1 - first], is_client=first == 1)
        troubles = {side.trouble for side in sides}
        for side in sides:
            if troubles & LAZY:
                few, many = draw.choice([1500, 1500, 65_536]), draw.choice([1024, 16_384])
                side.link = replace(side.link, max_read_bytes=few, buffer_bytes=many, torn=0.0)
                side.manner = replace(side.manner, squeezes=draw.choice([None, None, side.manner.squeezes]))
            elif "hush" in troubles:
                many = 1024 if side.trouble == "hush" else 131_072  # all of it waits in the gateway
                side.link = replace(side.link, max_read_bytes=65_536, buffer_bytes=many, torn=0.0)
                side.manner = replace(side.manner, squeezes=None)
        return sides

    def scripts(self, sides: tuple[Side, Side]) -> tuple[Steps, Steps]:
        """Return what both sides do while the session is open."""
        client, provider = sides
        closes = self.random.choice([(True, False)] * 3 + [(False, True)] * 3 + [(True, True), (False, False)])
        if "deaf" in (client.trouble, provider.trouble) and self.random.random() < 0.7:
            closes = (False, False)  # only the gateway can find that out
        return self._script(client, provider, closes=closes[0]), self._script(provider, client, closes=closes[1])

    def _script(self, side: Side, other: Side, *, closes: bool) -> Steps:
        draw, links = self.random, [side.link, other.link]
        if "hush" in (side.trouble, other.trouble):  # not a sound but these
            steps = [*side.steps] or self.messages(side.name, links, count=1, size=25_000)
            return [*steps, (draw.choice([7.0, 20.0]), self._closing(side.name))] if closes else steps
        count = draw.choice([0, 0, 4] if side.trouble in ("deaf", "slow") else [0, 0, 1, 4, 8])
        steps = self.messages(side.name, links, count=count)
        at = draw.choice([0, 0, len(steps), draw.randint(0, len(steps))])
        steps[at:at] = side.steps
        if other.trouble in LAZY:
            size = draw.choice([400, 30_000])
            steps[0:0] = self.messages(side.name, links, count=draw.choice([1, 12, 12]), size=size)
        return [*steps, (draw.choice([0.0, 0.0, 0.3, 7.0]), self._closing(side.name))] if closes else steps

    def _closing(self, who: str) -> Step:
        close = self.close(who)
        return lambda end: end.close(close)

    def close(self, who: str) -> Close:
        """Return what a Close says."""
        code = self.random.choice(CODES)
        reason = "" if code is None else self.random.choice(REASONS).format(who)
        return code, reason.encode()

    # ---- what is said ----------------------------------------------------------------------------------------------

    def payload(self, size: int, who: str, *, text: bool) -> bytes:
        """Return something that cannot be taken for anything else, if it is long enough."""
        mark = f"{who}:{self.random.randrange(1 << 30)}:".encode()
        filler = "日é☃x".encode() * (size // 9 + 1) if text else self.random.randbytes(size)
        return (mark + filler)[:size]

    def messages(self, who: str, links: list[Faults], *, count: int, size: int | None = None) -> Steps:
        """Return steps that send messages and pings, in bursts and with time between them."""
        draw = self.random
        least = min(link.max_read_bytes * (0.3 if link.torn > 0.5 else 1.0) for link in links)
        slow = any(link.buffer_bytes < 10_000 and link.latency_seconds > 0.01 for link in links)
        budget = (
            200 if least < 10 else 3000 if least < 200 else 20_000 if slow else 100_000 if least < 5000 else 300_000
        )
        steps: Steps = []
        for _ in range(count):
            if budget <= 0:
                break
            length = size or draw.choice([0, 1, 12, 60, 125, 126, 700, 4000, 9000, 65_535, 65_536, 150_000])
            length = min(length, budget)
            budget -= length + 20
            text = draw.random() < 0.5
            message = Message(TEXT if text else BINARY, self.payload(length, who, text=text))
            cuts = [draw.randint(0, length) for _ in range(draw.choice([0, 0, 0, 1, 3, 8]))]
            gap = draw.choice([0.0, 0.0, 0.0, 0.02, 0.4])
            said = speech(message, cuts, gap, squeeze=draw.random() < 0.7)
            said[0] = (draw.choice([0.0, 0.0, 0.0, 0.001, 0.1, 1.5]), said[0][1])
            if draw.random() < 0.25:
                said.insert(draw.randint(0, len(said)), (0.0, self.ping(who)))
            steps += said
        return steps

    def ping(self, who: str) -> Step:
        """Return the step that sends a ping, or a pong that nobody asked for."""
        payload = f"{who} {self.random.randrange(1 << 30)}".encode()
        if self.random.random() < 0.2:
            return lambda end: end.frame(FIN | PONG, payload)
        return lambda end: end.ping(payload)

    def pings(self, who: str, link: Faults) -> Steps:
        """Return the steps that send many pings at once."""
        count = 3 if link.max_read_bytes < 1000 else 450
        many = [f"{who} {number}".encode().ljust(120) for number in range(self.random.choice([3, count]))]

        def ping(end: End) -> None:
            for payload in many:
                end.ping(payload)

        return [(0.3, ping)]

    # ---- what goes wrong -------------------------------------------------------------------------------------------

    def spoil(self, side: Side, *, is_client: bool) -> None:
        """Let one thing go wrong on a side."""
        draw = self.random
        side.trouble = draw.choice(TROUBLES)
        match side.trouble:
            case "leaves":
                how = draw.choice(list(Leaving))
                side.steps = [(0.0, lambda end: end.leave(how))]
            case "breaks":
                side.steps = [(0.0, self.broken_rule(is_client=is_client))]
            case "stops" | "pauses" | "slow" | "hush":
                self._spoil_reading(side)
            case "mute" | "cuts" | "gone":
                answer = {"mute": Answer.NEVER, "cuts": Answer.CUT, "gone": Answer.LEAVE}[side.trouble]
                side.manner = replace(side.manner, answer=answer)
            case "deaf":
                side.manner = replace(side.manner, answers_pings=False)
            case "hangs":
                side.manner = replace(side.manner, hangs_up=False)
            case "stalls":
                side.link = replace(side.link, stall=draw.choice([0.02, 0.1]), stall_seconds=draw.choice([0.5, 5.0]))
            case _:
                side.link = replace(side.link, reset=draw.choice([0.005, 0.05]))

    def _spoil_reading(self, side: Side) -> None:
        draw = self.random
        steps: Steps = []
        if side.trouble == "stops":
            reading = Reading.STOPS
            steps = [(0.0, lambda end: end.read(False, forever=True))]
            if draw.random() < 0.3:
                steps += self.pings(side.name, side.link)
        elif side.trouble == "slow" or (side.trouble == "hush" and draw.random() < 0.5):
            reading, rate = Reading.SLOWLY, draw.choice([2000.0, 2000.0, 40_000.0])
            side.manner = replace(side.manner, rate=rate)
            steps = [(0.0, lambda end: end.read(True, rate=rate))]
        elif side.trouble == "hush":
            reading = Reading.PAUSES
            steps = [(0.0, _pause(2.0)), (0.5, lambda end: end.ping(b"after the pause"))]
        else:
            reading = Reading.PAUSES
            for seconds in draw.choice([[0.1, 0.1, 2.0], [4.0], [1.0, 3.0]]):
                steps.append((draw.choice([0.0, 1.0, 6.0]), _pause(seconds)))
                if draw.random() < 0.5:
                    steps += self.pings(side.name, side.link)
        side.manner, side.steps = replace(side.manner, reading=reading), steps

    def broken_rule(self, *, is_client: bool) -> Step:
        """Return the step that sends what no end may send."""
        rules = [
            (FIN | 3, b"x", is_client, 1002),
            (FIN | TEXT, b"x", not is_client, 1002),
            (PING, b"x", is_client, 1002),
            (FIN | 0x10 | TEXT, b"x", is_client, 1002),
            (FIN | CLOSE, b"\x03", is_client, 1002),
            (FIN | CLOSE, close_payload(1000, b"\xff"), is_client, 1007),
            *((FIN | CLOSE, close_payload(code), is_client, 1002) for code in (0, 1005, 1006, 1015, 5000)),
        ]
        head, payload, masked, code = self.random.choice(rules)
        return lambda end: end.break_rule(frame(head, payload, masked=masked), code)


def _pause(seconds: float) -> Step:
    """Return the step that reads nothing for some time."""

    def pause(end: End) -> None:
        end.read(False)
        end.later(seconds, lambda: end.read(True))

    return pause
