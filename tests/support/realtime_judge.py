"""What must hold of a realtime session, whatever happened: judged by what its two ends sent and saw.

The session's record is compared with both (`support.realtime_audit`). Nothing else of the gateway is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from aigw_proto._limits import GatewayLimits, WebSocketLimits
from aigw_proto.gateway._farewell import farewell
from aigw_proto.providers import Dialect
from aigw_transports.memory import Faults
from support.realtime_manner import Answer, Close, Leaving, Reading
from support.realtime_world import End, Provider

__all__ = ["Facts", "Judge", "Session"]

_INTERNAL, _GOING_AWAY, _TOO_BIG = 1011, 1001, 1009
_PROMPT_SECONDS = 1.0
"""What nothing takes that waits for no deadline; no timer may come to the rescue before."""


@dataclass(frozen=True)
class Facts:
    """What all sessions of a run have in common."""

    limits: GatewayLimits
    websocket: WebSocketLimits
    drain_at: float | None
    grace_seconds: float
    most_unsent_bytes: int

    @property
    def half_seconds(self) -> float:
        """How long one who closed waits for the other's answer."""
        return self.websocket.close_timeout_seconds / 2


@dataclass(frozen=True)
class Session:
    """Two ends, and the links between them and the gateway."""

    client: End
    provider: Provider
    client_link: Faults
    provider_link: Faults
    dialect: Dialect
    asked_at: float

    @property
    def pairs(self) -> tuple[tuple[End, End], tuple[End, End]]:
        """Each end with the other."""
        return (self.client, self.provider), (self.provider, self.client)

    def link(self, end: End) -> Faults:
        """Return the link of an end."""
        return self.client_link if end is self.client else self.provider_link

    def is_smooth(self, *ends: End) -> bool:
        """Whether nothing is held up or lost on the links of these ends, or of both."""
        links = [self.link(end) for end in ends or (self.client, self.provider)]
        return not any(link.stall or link.reset or link.refuse for link in links)

    def is_good(self, end: End, *, pauses: bool = False) -> bool:
        """Whether an end does all that it has to do, and at once; with `pauses`, not always at once."""
        manner = end.manner
        good = manner.reading is Reading.ALWAYS or (pauses and manner.reading is Reading.PAUSES)
        good = good and manner.answer in (Answer.AT_ONCE, Answer.LATER)
        good = good and manner.hangs_up and manner.answers_pings and self.is_smooth(end)
        return good and end.left is None and end.broke_rule is None

    @property
    def slack_seconds(self) -> float:
        """What everything may take that waits for no deadline: the bytes of all, over both links."""
        count = 2000.0 + sum(end.said_bytes + end.payload_bytes for end, _ in self.pairs)
        seconds = _PROMPT_SECONDS
        for link in (self.client_link, self.provider_link):
            seconds += 2 * (link.latency_seconds + link.jitter_seconds) * (4 + count / link.buffer_bytes)
        return seconds

    @property
    def ending_at(self) -> float | None:
        """When the session began to end, as far as its ends can know."""
        known = [each for end, _ in self.pairs for each in (end.over_at, end.got_close_at, end.ended_at)]
        return min((each for each in known if each is not None), default=None)


def reads(end: End) -> bool:
    """Whether an end reads at once, all the time."""
    return end.manner.reading is Reading.ALWAYS


class Judge:
    """Judges a session that was open. `whose` says for each end whose Close it got."""

    def __init__(self, session: Session, facts: Facts) -> None:
        """Judge nothing yet."""
        self.session = session
        self.facts = facts
        self.slack = session.slack_seconds
        self.whose: dict[End, str] = {}

    def judge(self) -> None:
        """Judge all; an AssertionError says what is wrong."""
        assert self.session.provider.opened_at is not None, "the client was let in before the provider had accepted"
        assert self.session.ending_at is not None, "the session never ended"
        for sink, source in self.session.pairs:
            self.whose[sink] = self._explain(sink, source)
        for sink, source in self.session.pairs:
            told = self.whose[source] in ("relayed", "either")  # of the sink's Close, which is to be answered with one
            assert not told or self.whose[sink] != "lost", f"{sink.name} had closed and got {sink.got_close}"
            self._judge_messages(sink, source)
            self._judge_end(sink, source)
            self._judge_pongs(sink, source)
        self._judge_limits(self.session.ending_at)

    # ---- messages --------------------------------------------------------------------------------------------------

    def _judge_messages(self, sink: End, source: End) -> None:
        """What came is what was sent, message by message, up to some point."""
        count = len(sink.got)
        assert count <= len(source.said), f"{sink.name} got {count} messages of {len(source.said)}"
        for number, (got, said) in enumerate(zip(sink.got, source.said, strict=False)):
            assert got.is_(said.message), (
                f"message {number} of {source.name} came as {got.opcode}, {got.payload[:60]!r}"
            )
            self._judge_fragments(sink, source, number)
        if sink.getting is not None:
            following = source.said[count] if count < len(source.said) else source.saying
            assert following is not None, f"{sink.name} was sent the beginning of a message that was never begun"
            assert sink.getting.opcode == following.message.opcode
            assert following.message.payload.startswith(sink.getting.payload), f"message {count} of {source.name}"
        if reads(sink) and self.session.is_smooth():
            self._judge_times(sink, source)
        if self._must_be_complete(sink, source):
            self._demand_all(sink, source)

    def _judge_times(self, sink: End, source: End) -> None:
        """Whoever reads is not kept waiting, and nothing stays behind in a session that goes on."""
        opened_at, ending_at = self.session.client.opened_at or 0.0, self.session.ending_at or 0.0
        for number, said in enumerate(source.said):
            due_at = max(said.at, opened_at) + self.slack
            if number < len(sink.got):
                late = sink.got[number].at - due_at
                assert late <= 0, f"message {number} of {source.name} came {late:.3f} s too late"
            else:
                assert due_at >= ending_at, f"message {number} of {source.name} did not come"

    def _judge_fragments(self, sink: End, source: End, number: int) -> None:
        """Each frame goes on as one or more, and no more than there have to be: peers bound their number."""
        got, said = sink.got[number], source.said[number]
        assert got.frames >= said.frames, f"message {number} of {source.name}: {said.frames} frames became {got.frames}"
        most = said.frames + len(said.message.payload) // self.facts.websocket.relayed_piece_bytes
        assert said.squeezed or got.frames <= most, f"message {number} of {source.name} came in {got.frames} frames"

    def _demand_all(self, sink: End, source: End) -> None:
        assert len(sink.got) == len(source.said), (
            f"{sink.name} got {len(sink.got)} of {len(source.said)} messages that {source.name} sent before its end"
        )
        if source.saying is not None and not source.saying.squeezed:
            came = 0 if sink.getting is None else len(sink.getting.payload)
            assert came == source.saying.sent_bytes, "what was sent of a message before its end"

    def _must_be_complete(self, sink: End, source: End) -> bool:
        """Whether all that one end sent has to be there: it ended in order, and the other one stayed and read."""
        end_at, closed_at = source.over_at, sink.said_close_at
        if self.whose[sink] == "relayed":
            return True
        if end_at is None or "gateway" in self.whose.values() or not self.session.is_smooth() or not reads(source):
            return False
        if source.left in (Leaving.RESET, Leaving.CLOSE) or source.manner.answer is Answer.LEAVE:
            return False  # what is on its way when a stream is closed from here may be lost
        if closed_at is None:
            return self.session.is_good(sink, pauses=True)
        if reads(sink):
            in_time = end_at < closed_at + self.facts.half_seconds - self.slack
        else:
            in_time = sink.got_close_at is not None and closed_at >= sink.got_close_at
        return in_time and self.session.is_good(sink, pauses=True)

    # ---- Close -----------------------------------------------------------------------------------------------------

    def _explain(self, end: End, other: End) -> str:
        """Say whose Close an end got; that it got it at all is another question."""
        got = end.got_close
        if got is None:
            return "none"
        if _is_gateways(got):
            self._judge_gateways(got, end)
            return "gateway"
        is_own = end.said_close is not None and got == (end.said_close[0], b"")
        if _is_relayed(end, other, got):
            return "either" if is_own else "relayed"
        if is_own:
            self._judge_own(end, other)
            return "own"
        if end.broke_rule is not None and got[0] == end.broke_rule:
            return "broken"
        assert got[0] == _INTERNAL, f"nobody sent {end.name} the Close {got}"
        self._judge_lost(other, got[1].decode())
        return "lost"

    def _judge_own(self, end: End, other: End) -> None:
        """Its own Close comes back when the other one does not answer, in half of the time, or cannot any more."""
        assert end.said_close_at is not None
        assert end.got_close_at is not None
        due_at = end.said_close_at + self.facts.half_seconds
        lost = other.left is not None or other.broke_rule is not None or other.manner.answer is Answer.LEAVE
        dead = not other.manner.answers_pings or other.manner.reading in (Reading.STOPS, Reading.SLOWLY)
        if self.session.is_smooth() and not lost and not dead:
            assert end.got_close_at >= due_at - 0.001, f"{end.name} was answered before {other.name} could"
            late = other.over_at is None or other.over_at >= due_at - self.slack
            assert late or not reads(end), f"the Close of {other.name} was not passed on"

    def _judge_lost(self, other: End, reason: str) -> None:
        """A 1011 has a reason, and the other end gave it."""
        reading, rough = other.manner.reading, not self.session.is_smooth(other)
        assert reason.startswith("the client" if other.is_client else "the provider"), reason
        if "connection was lost" in reason:
            assert other.left is not None or other.hung_up or rough, f"{other.name} was not lost"
        elif "does not read" in reason:
            assert reading is Reading.STOPS or rough, f"{other.name} reads"
        elif "no sign of life" in reason:
            silent = not other.manner.answers_pings or reading is Reading.STOPS or self._is_late(other)
            assert silent or rough, f"{other.name} is alive"
        else:
            assert "connection failed" in reason, reason
            assert other.broke_rule is not None, f"{other.name} broke no rule: {reason}"

    def _is_late(self, end: End) -> bool:
        """Whether a ping may come to a slow reader too late, behind what is on its way before it."""
        if end.manner.rate is None:
            return False
        before = self.facts.limits.realtime_high_water_bytes + self.session.link(end).buffer_bytes
        return before / end.manner.rate + _PROMPT_SECONDS > self.facts.websocket.pong_timeout_seconds

    def _judge_gateways(self, got: Close, end: End) -> None:
        """The gateway had a reason of its own."""
        facts, at, reason = self.facts, end.got_close_at, got[1].decode()
        assert at is not None
        if end.is_client:
            self._take_farewell(got)
        if got[0] == _TOO_BIG:
            assert any(size > facts.limits.realtime_max_message_bytes for size in self._sizes()), reason
            return
        since: float | None
        seconds: float | None
        if "shutting down" in reason:
            since, seconds = facts.drain_at, facts.grace_seconds
        elif "no message" in reason:
            since, seconds = self._last_relayed_at(), facts.limits.realtime_idle_timeout_seconds
        else:
            since, seconds = self.session.provider.opened_at, facts.limits.realtime_session_timeout_seconds
        assert since is not None, reason
        assert seconds is not None, reason
        assert at >= since + seconds, f"{reason}, {since + seconds - at:.3f} s too early"

    def _sizes(self) -> list[int]:
        said = [each for end, _ in self.session.pairs for each in (*end.said, end.saying)]
        return [len(each.message.payload) for each in said if each is not None]

    def _last_relayed_at(self) -> float:
        """When the last message was sent that came through: it cannot have passed the gateway before."""
        times = [self.session.provider.opened_at or 0.0]
        for sink, source in self.session.pairs:
            times += [said.at for said, _ in zip(source.said, sink.got, strict=False)]
        return max(times)

    def _take_farewell(self, close: Close) -> None:
        """Look for the provider's words before a Close of the gateway's own, and take them from what came."""
        client, (code, reason) = self.session.client, close
        words = farewell(self.session.dialect, code=code or 0, reason=reason.decode())
        if words is None or client.getting is not None:
            return
        is_text, payload = words
        assert client.got, "no farewell"
        last = client.got[-1]
        assert last.payload == payload, f"the farewell is {last.payload[:80]!r}"
        assert last.opcode == (1 if is_text else 2)
        client.got.pop()

    # ---- ends ------------------------------------------------------------------------------------------------------

    def _judge_end(self, end: End, other: End) -> None:
        """Whoever behaves is told of the end, in time, and its stream ends in order; who breaks a rule is told so."""
        smooth = self.session.is_smooth() and reads(other)
        if end.broke_rule_at is not None and smooth and reads(end):
            self._demand_within(end.broke_rule_at, end.got_close_at, 0.0, f"{end.name} is told that it broke a rule")
            self._demand_within(end.broke_rule_at, end.ended_at, 0.0, f"the stream of {end.name} ends")
        if not self.session.is_good(end):
            return
        assert end.got_close_at is not None, f"{end.name} was never sent a Close"
        assert end.said_close_at is not None
        assert end.peer is not None
        assert not end.peer.broken, f"the stream of {end.name} was broken"
        # Its own Close may stand behind what the other does not take, until that has been answered.
        more = 0.0 if smooth else self.facts.half_seconds
        both_at = max(end.got_close_at, end.said_close_at)
        self._demand_within(both_at, end.ended_at, more, f"the stream of {end.name} ends")
        if smooth and end.said_close_at < end.got_close_at:
            half = self.facts.half_seconds
            self._demand_within(end.said_close_at, end.got_close_at, half, f"{end.name} has an answer")
        gone_at = [each for each in (other.left_at, other.broke_rule_at) if each is not None]
        if smooth and gone_at:
            self._demand_within(min(gone_at), end.got_close_at, 0.0, f"{end.name} hears that {other.name} is gone")
        closed_at = other.said_close_at
        if self.session.is_smooth() and closed_at is not None and end.said_close_at > closed_at:
            self._demand_within(closed_at, end.got_close_at, 0.0, f"{end.name} hears that {other.name} has closed")

    def _demand_within(self, since: float, at: float | None, seconds: float, what: str) -> None:
        assert at is not None, f"{what}: never"
        assert at <= since + seconds + self.slack, f"{what} after {at - since:.3f} s"

    def _judge_limits(self, ending_at: float) -> None:
        """A session ends when its time is over, and each of its streams in the time that is left to it then."""
        facts, session = self.facts, self.session
        both_read = all(reads(end) for end, _ in session.pairs)
        if not session.is_smooth() or not any(reads(end) for end, _ in session.pairs):
            return
        dues = [due for end, other in session.pairs for due in self._deaths(end, other)]
        if facts.limits.realtime_session_timeout_seconds is not None and session.client.opened_at is not None:
            dues.append(session.client.opened_at + facts.limits.realtime_session_timeout_seconds)
        if facts.drain_at is not None:
            dues.append(facts.drain_at + facts.grace_seconds)
        if facts.limits.realtime_idle_timeout_seconds is not None and both_read:
            dues.append(self._last_said_at() + facts.limits.realtime_idle_timeout_seconds)
        if both_read:
            most = facts.limits.realtime_max_message_bytes
            dues += [each.at for end, _ in session.pairs for each in end.said if len(each.message.payload) > most]
        due = max(min(dues, default=ending_at), session.client.opened_at or 0.0)
        assert ending_at <= due + self.slack, f"the session was to end by {due:.3f}, not {ending_at:.3f}"
        if both_read:
            seconds = facts.half_seconds + facts.websocket.close_timeout_seconds
            for end, _ in session.pairs:
                if end.ended_at is not None or not end.hung_up:
                    ended_at = end.left_at if end.ended_at is None else end.ended_at
                    self._demand_within(ending_at, ended_at, seconds, f"the stream of {end.name} ends")

    def _deaths(self, end: End, other: End) -> list[float]:
        """Return when an end was to be given up, because it gave no sign of life or took nothing."""
        websocket, limits = self.facts.websocket, self.facts.limits
        dues: list[float] = []
        deaf = not end.manner.answers_pings and reads(other) and reads(end)
        if deaf and websocket.ping_interval_seconds is not None:
            # Silence counts anew when the end has caught up with what it was sent.
            heard_at = max(end.said_last_at, end.opened_at or 0.0, *(each.at for each in other.said))
            dues.append(heard_at + websocket.ping_interval_seconds + websocket.pong_timeout_seconds)
        if end.stopped_at is not None and not end.squeezes and reads(other):
            room = self.session.link(end).buffer_bytes + self.facts.most_unsent_bytes
            for said in other.said:
                room -= len(said.message.payload) if said.at >= end.stopped_at else 0
                if room < 0:
                    dues.append(said.at + limits.stuck_timeout_seconds)
                    break
        return dues

    def _last_said_at(self) -> float:
        """When anything of a message was sent last, at the latest."""
        times = [self.session.client.opened_at or 0.0]
        for end, _ in self.session.pairs:
            times += [each.at for each in end.said]
            if end.saying is not None:
                times.append(end.said_last_at)
        return max(times)

    # ---- pings -----------------------------------------------------------------------------------------------------

    def _judge_pongs(self, end: End, other: End) -> None:
        """Pings are answered in order, by the gateway; where both ends read, all of them and at once."""
        pings = iter(payload for payload, _ in end.pings)
        assert all(pong in pings for pong, _ in end.pongs), f"{end.name} got pongs that it did not ask for"
        if not self.session.is_good(end, pauses=True) or not self.session.is_smooth() or not reads(other):
            return
        pongs = dict(end.pongs)
        due = end.pings
        if not reads(end):  # while it did not read, only the newest had to be remembered
            due = end.pings[-1:] if self._was_told_in_time(end, other) else []
        for payload, at in due:
            since = max(at, end.resumed_at, self.session.client.opened_at or 0.0)
            self._demand_within(since, pongs.get(payload), 0.0, f"{end.name} has the pong for {payload!r}")

    def _was_told_in_time(self, end: End, other: End) -> bool:
        """Whether an end had the other's Close before the gateway gave it up for its silence."""
        if self.whose[end] != "relayed" or end.got_close_at is None or other.said_close_at is None:
            return False
        return end.got_close_at + self.slack <= other.said_close_at + self.facts.websocket.close_timeout_seconds


def _is_relayed(end: End, other: End, got: Close) -> bool:
    """Whether it is the other end's Close, with all before it."""
    if other.said_close != got or other.said_close_at is None or end.got_close_at is None:
        return False
    return other.said_close_at <= end.got_close_at and len(end.got) == len(other.said)


def _is_gateways(got: Close) -> bool:
    """Whether the words are the gateway's; an end can only have them from it."""
    words = (b"shutting down", b"no message for", b"may last", b"larger than")
    return got[0] in (_GOING_AWAY, _TOO_BIG) and any(each in got[1] for each in words)
