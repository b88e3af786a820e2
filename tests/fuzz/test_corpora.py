"""Every input that fuzzing found worth keeping, through its target again; what once failed cannot come back."""

from __future__ import annotations

import pytest

from fuzz.run import CORPORA, corpus, names, target


@pytest.mark.parametrize("name", names())
def test_the_invariant_holds_for_the_corpus(name: str) -> None:
    inputs = corpus(name)
    assert len(inputs) > 10
    check = target(name).test_one_input
    for path in inputs:
        try:
            check(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path.relative_to(CORPORA)}: {error}") from error


@pytest.mark.parametrize("name", names())
def test_any_beginning_of_an_input_is_an_input(name: str) -> None:
    whole = max(corpus(name), key=lambda path: path.stat().st_size).read_bytes()
    for end in [0, 1, 2, 3, 4, len(whole) // 2]:
        target(name).test_one_input(whole[:end])


@pytest.mark.parametrize("name", names())
def test_the_first_line_states_the_invariant(name: str) -> None:
    first = (target(name).__doc__ or "").partition("\n")[0]
    assert first.startswith("Any ")
    assert ":" in first
    assert first.endswith(".")


def test_there_are_no_inputs_without_a_target() -> None:
    assert sorted(path.name for path in CORPORA.iterdir()) == names()
