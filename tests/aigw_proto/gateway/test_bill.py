from __future__ import annotations

import pytest

from aigw_proto.gateway._bill import Bill
from aigw_proto.gateway._usage import Report


def tokens(**counts: int) -> Report:
    return Report(event="x", tokens=counts)


def is_open(bill: Bill) -> bool:
    return bill.is_open  # asked through a function, since a checker takes an attribute for a constant


def test_nothing_counted() -> None:
    bill = Bill()
    assert not bill.note(Report(event="x"))
    assert not is_open(bill)
    assert bill.close() == ({}, None)
    assert bill.tokens == {}


def test_turns_add_up_to_the_session() -> None:
    bill = Bill()
    assert bill.note(tokens(input=10, output=5))
    assert is_open(bill)
    assert bill.close() == ({"input": 10, "output": 5}, None)
    assert not is_open(bill)
    bill.note(tokens(input=20, output_audio=7))
    assert bill.close() == ({"input": 20, "output_audio": 7}, None)
    assert bill.tokens == {"input": 30, "output": 5, "output_audio": 7}


def test_a_newer_count_of_the_same_generation_takes_the_place_of_the_older() -> None:
    bill = Bill()
    for output in (3, 9, 24):
        bill.note(tokens(input=143, output=output))
    assert bill.close()[0] == {"input": 143, "output": 24}


def test_generations_within_a_turn_are_added() -> None:
    bill = Bill()
    bill.note(tokens(input=143, output=5))
    bill.note(tokens(input=143, output=19))
    bill.note(tokens(input=181, output=24))
    assert bill.close()[0] == {"input": 324, "output": 43}


def test_the_same_input_in_the_next_turn_is_counted_again() -> None:
    bill = Bill()
    bill.note(tokens(input=100, output=1))
    bill.close()
    bill.note(tokens(input=100, output=2))
    assert bill.close()[0] == {"input": 100, "output": 2}
    assert bill.tokens == {"input": 200, "output": 3}


def test_counts_of_zero_are_nothing_to_end_with() -> None:
    bill = Bill()
    assert bill.note(tokens(input=0, output=0))
    assert not is_open(bill)
    assert bill.note(Report(event="x", audio_seconds=0.0))
    assert not is_open(bill)
    assert bill.close() == ({"input": 0, "output": 0}, 0.0)


def test_a_generation_that_was_settled_keeps_the_bill_open() -> None:
    bill = Bill()
    bill.note(tokens(input=1))
    bill.note(tokens(input=0))
    assert is_open(bill)


def test_seconds_are_added() -> None:
    bill = Bill()
    assert bill.note(Report(event="x", audio_seconds=0.1))
    bill.note(Report(event="x", audio_seconds=0.2))
    assert is_open(bill)
    assert bill.close() == ({}, 0.3)
    assert bill.close() == ({}, None)


def test_positions_count_what_lies_between_them() -> None:
    bill = Bill()
    seconds = 0.0
    for until in (1.5, 4.0, 4.0, 3.0, 7.25):
        bill.note(Report(event="x", audio_until=until))
        if until == 4.0:
            seconds += bill.close()[1] or 0.0
    last = bill.close()[1] or 0.0
    assert last == pytest.approx(3.25)
    assert seconds + last == pytest.approx(7.25)
