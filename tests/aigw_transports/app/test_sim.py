from __future__ import annotations

import io
from pathlib import Path

import pytest

from aigw_transports.app import cli
from aigw_transports.app._sim import parse_seeds, run_sim

OWN = """
from aigw_transports.simulation import Stage


def sometimes(world):
    answer = Stage(world).client().ask("openai", "chat/completions", {"model": "m"})
    world.run(until=lambda: answer.ended)
    assert world.seed != 3, "three"
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "scenarios_of_the_shell.py"
    file.write_text(OWN)
    return f"{file}:sometimes"


@pytest.mark.parametrize(
    ("text", "seeds"), [("5", range(5, 6)), ("0..0", range(1)), ("3..7", range(3, 8)), ("0..999", range(1000))]
)
def test_seeds(text: str, seeds: range) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1..", "..1", "-1", "1...2", "7..3", "1..2..3", "٣", "9" * 19])
def test_what_are_no_seeds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["sim", f"--seeds={text}"])
    assert caught.value.code == 2
    assert "--seeds: expected seeds as A..B" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "1025"])
def test_what_are_no_jobs(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sim", f"--jobs={text}"])
    assert "expected a number from 1 to 1024" in capsys.readouterr().err


def test_a_run_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", "calm", "--seeds", "0..1", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.startswith("calm: 2 seeds in ")
    assert first.endswith(", none failed")
    assert second.startswith("0 requests, 20 realtime sessions and 200 messages in ")
    assert err == ""  # no bar where there is no terminal


def test_a_run_that_fails(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", own, "--seeds", "0..9", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert f"{own}, seed 3: three\nthe last inputs and effects:\n" in out
    assert f"\nto run it again: aigw sim --scenario {own} --seeds 3..3 --trace\n" in out
    assert "10 seeds in" in out
    assert "1 FAILED" in out


def test_a_trace(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", own, "--seeds", "2..5", "--trace"]) == 1
    out = capsys.readouterr().out
    assert "gateway > Connect(link=1, host='provider', port=80" in out
    assert f"{own}, seed 2: held, 0." in out
    assert out.endswith(f"{own}, seed 3: three\n")
    assert cli.main(["sim", "--scenario", own, "--seeds", "4", "--trace"]) == 0


def test_an_unknown_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", "wild"]) == 2
    assert capsys.readouterr().err.startswith("aigw: there is no scenario 'wild'; there are mixed, universal")


def test_the_bar_on_a_terminal(own: str) -> None:
    out, err = io.StringIO(), Terminal()
    assert run_sim(own, range(60), trace=False, jobs=1, out=out, err=err) == 1
    bars = err.getvalue().split("\r")
    assert bars[-1].startswith("[" + "#" * 30 + "] 60 of 60 seeds, ")
    assert bars[-1].endswith(" 1 failed\x1b[K\n")


def test_the_help_lists_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sim", "--help"])
    text = capsys.readouterr().out
    assert "  crowd       Several clients that flood" in text
    assert "--seeds A..B" in text
