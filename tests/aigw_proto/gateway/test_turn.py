from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._effects import CloseHow, CloseLink, Effect, EndSending, SendBytes, SetReading
from aigw_proto._kinds import LinkId
from aigw_proto.gateway._turn import Actor, Deadlines, Rota, Turn

A, B = LinkId(2), LinkId(4)


def drain(turn: Turn) -> list[Effect]:
    turn.finish()
    effects: list[Effect] = []
    while (effect := turn.poll()) is not None:
        effects.append(effect)
    assert turn.is_drained()
    return effects


def test_sends_of_a_turn_are_one_effect_per_link() -> None:
    turn = Turn()
    assert turn.send(A, [b"a", b"", b"b"]) == 2
    turn.send(B, [b"c"])
    turn.send(A, [b"d"])
    assert turn.send(A, [b""]) == 0
    assert turn.sent_bytes == 4
    assert drain(turn) == [SendBytes(A, [b"a", b"b", b"d"]), SendBytes(B, [b"c"])]
    turn.send(A, [b"e"])
    assert drain(turn) == [SendBytes(A, [b"e"])]


def test_closing_comes_after_what_was_sent() -> None:
    turn = Turn()
    turn.send(A, [b"a"])
    turn.end_sending(A)
    turn.close(A, CloseHow.FLUSH)
    assert drain(turn) == [SendBytes(A, [b"a"]), EndSending(A), CloseLink(A, CloseHow.FLUSH)]


def test_only_changes_of_reading_are_effects() -> None:
    turn = Turn()
    turn.set_reading(A, True)
    assert drain(turn) == []
    turn.set_reading(A, False)
    turn.set_reading(A, True)
    assert drain(turn) == []
    turn.set_reading(A, False)
    assert drain(turn) == [SetReading(A, False)]
    turn.set_reading(A, False)
    assert drain(turn) == []
    turn.set_reading(A, True)
    assert drain(turn) == [SetReading(A, True)]


def test_a_closed_link_is_not_switched() -> None:
    turn = Turn()
    turn.set_reading(A, False)
    turn.close(A, CloseHow.ABORT)
    assert drain(turn) == [CloseLink(A, CloseHow.ABORT)]


class Owner(Actor):
    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.scheduled = None

    def next_timeout(self) -> float | None:
        return self.deadline

    def handle_timeout(self, now: float) -> None:
        self.deadline = None

    def crash(self, now: float) -> None:
        self.deadline = None

    def drop(self, now: float) -> None:
        self.deadline = None


def test_the_earliest_owner_comes_first_and_once() -> None:
    deadlines = Deadlines()
    late, early, never = Owner(9.0), Owner(3.0), Owner(None)
    for owner in (late, early, never):
        deadlines.touch(owner)
    assert deadlines.earliest() == 3.0
    assert deadlines.pop_due(2.9) is None
    assert deadlines.pop_due(3.0) is early
    early.handle_timeout(3.0)
    deadlines.touch(early)
    assert deadlines.pop_due(3.0) is None
    assert deadlines.earliest() == 9.0


def test_a_deadline_that_moved_later_is_looked_at_again() -> None:
    deadlines = Deadlines()
    owner = Owner(3.0)
    deadlines.touch(owner)
    owner.deadline = 8.0
    deadlines.touch(owner)
    assert deadlines.pop_due(5.0) is None
    assert deadlines.earliest() == 8.0
    assert deadlines.pop_due(8.0) is owner


def test_a_deadline_that_moved_earlier_counts() -> None:
    deadlines = Deadlines()
    owner = Owner(8.0)
    deadlines.touch(owner)
    owner.deadline = 3.0
    deadlines.touch(owner)
    assert deadlines.earliest() == 3.0
    assert deadlines.pop_due(3.0) is owner
    deadlines.touch(owner)
    assert deadlines.pop_due(3.0) is owner
    owner.deadline = None
    assert deadlines.earliest() is None


def test_forgotten_owners_are_not_kept() -> None:
    deadlines = Deadlines()
    owners = [Owner(float(n)) for n in range(1000)]
    for owner in owners:
        deadlines.touch(owner)
    for owner in owners[10:]:
        owner.deadline = None
        deadlines.forget(owner)
    deadlines.forget(owners[-1])
    assert len(deadlines._heap) < 200
    assert deadlines.earliest() == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 20), st.booleans()), max_size=300))
def test_every_due_owner_comes_up_and_no_other(steps: list[tuple[int, int | None, bool]]) -> None:
    deadlines = Deadlines()
    owners = [Owner(None) for _ in range(6)]
    now = 0.0
    for index, delay, ended in steps:
        owner = owners[index]
        owner.deadline = None if delay is None else now + delay
        if ended:
            owner.deadline = None
            deadlines.forget(owner)
        else:
            deadlines.touch(owner)
        now += 1.0
        due = {id(each) for each in owners if each.deadline is not None and each.deadline <= now}
        seen: set[int] = set()
        while (popped := deadlines.pop_due(now)) is not None:
            assert popped.next_timeout() is not None
            seen.add(id(popped))
            popped.handle_timeout(now)
            deadlines.touch(popped)
        assert seen == due
        alive = [each.deadline for each in owners if each.deadline is not None]
        earliest = deadlines.earliest()
        if alive:
            assert earliest is not None
            assert now < earliest <= min(alive)


class Hand(Actor):
    """A worker that wants as many quanta as it is told."""

    def __init__(self, name: str, quanta: int = 1) -> None:
        self.name = name
        self.quanta = quanta
        self.queued = False

    def work(self, now: float) -> None:
        self.quanta -= 1


def work_off(rota: Rota, count: int) -> str:
    """Let `count` quanta be worked; whoever is not done asks for another while it is at work."""
    names = ""
    for _ in range(count):
        worker = rota.take()
        assert isinstance(worker, Hand)
        names += worker.name
        worker.work(0.0)
        if worker.quanta > 0:
            rota.add(worker)
        rota.rest()
    return names


def test_workers_have_their_turn_once_each_in_order() -> None:
    rota = Rota()
    hands = [Hand(name) for name in "abc"]
    for hand in (*hands, *hands):
        rota.add(hand)
    assert rota.waiting == 3
    assert work_off(rota, 3) == "abc"
    assert rota.waiting == 0


def test_newcomers_go_before_those_who_are_not_done_which_wait_for_three_at_most() -> None:
    rota = Rota()
    for name in "xy":
        rota.add(Hand(name, quanta=9))
    assert work_off(rota, 2) == "xy"
    for name in "abcde":
        rota.add(Hand(name))
    assert work_off(rota, 9) == "abxcdeyxy"


def test_who_goes_on_with_what_had_to_stop_is_no_newcomer() -> None:
    rota = Rota()
    rota.add(Hand("x"), again=True)
    rota.add(Hand("a"))
    assert work_off(rota, 2) == "ax"
