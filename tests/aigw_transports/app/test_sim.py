from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aigw_transports.app import _sim, cli
from aigw_transports.app._sim import parse_seeds, run_sim
from aigw_transports.simulation import Outcome, Summary

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
@pytest.mark.parametrize("option", ["--jobs", "--failures"])
def test_what_are_no_numbers(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sim", f"{option}={text}"])
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
    assert f"{own}, seed 3: three\nat " in out
    assert ':8: assert world.seed != 3, "three"\nthe last inputs and effects:\n' in out
    assert f"\nto run it again: aigw sim --scenario {own} --seeds 3..3 --trace\n" in out
    assert "10 seeds in" in out
    assert "1 FAILED" in out


def test_a_trace(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", own, "--seeds", "2..5", "--trace"]) == 1
    out = capsys.readouterr().out
    assert "gateway > Connect(link=1, host='provider', port=80" in out
    assert f"{own}, seed 2: held, 0." in out
    assert f"{own}, seed 3: three\nat " in out
    assert out.endswith(':8: assert world.seed != 3, "three"\n')
    assert cli.main(["sim", "--scenario", own, "--seeds", "4", "--trace"]) == 0


def test_an_unknown_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", "wild"]) == 2
    assert capsys.readouterr().err.startswith("aigw: there is no scenario 'wild'; there are mixed, universal")


def test_the_bar_on_a_terminal(own: str) -> None:
    out, err = io.StringIO(), Terminal()
    assert run_sim(own, range(60), trace=False, jobs=1, failures=5, out=out, err=err) == 1
    bars = err.getvalue().split("\r")
    assert bars[-1].startswith("[" + "#" * 30 + "] 60 of 60 seeds, ")
    assert bars[-1].endswith(" 1 failed\x1b[K\n")


def test_a_run_that_is_stopped_by_its_failures_says_so(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sim", "--scenario", own, "--seeds", "0..99", "--jobs", "1", "--failures", "1"]) == 1
    assert "4 seeds in " in (out := capsys.readouterr().out)
    assert ", 1 FAILED, stopped there of 100 seeds\n" in out


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_says_how_far_it_came(
    own: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_seeds(name: str, seeds: range, *, progress: Callable[[Outcome], None], **_: object) -> Summary:
        progress(Outcome(5, (), 0.0, (0, 0, 0)))
        raise error

    monkeypatch.setattr(_sim, "run_seeds", run_seeds)
    before, err = signal.getsignal(signal.SIGTERM), io.StringIO()
    with pytest.raises(error):
        run_sim(own, range(60), trace=False, jobs=1, failures=5, out=io.StringIO(), err=err)
    assert err.getvalue() == "interrupted after 5 seeds, 0 failed\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_ends_all_processes(tmp_path: Path) -> None:
    file = tmp_path / "endless_scenarios.py"
    file.write_text("def endless(world):\n    print('begun', flush=True)\n    while True:\n        pass\n")
    command = [str(Path(sys.executable).parent / "aigw"), "sim", "--scenario", f"{file}:endless", "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        begun = running.stdout.read(5)
        running.terminate()
        _, err = running.communicate(timeout=30)  # not before all that hold its output have ended
    assert (begun, running.returncode) == ("begun", 143)
    assert err == "interrupted after 0 seeds, 0 failed\n"


def test_the_help_lists_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sim", "--help"])
    text = capsys.readouterr().out
    assert "  crowd       Several clients that flood" in text
    assert "--seeds A..B" in text
