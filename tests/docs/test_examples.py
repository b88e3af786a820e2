"""Run what the documentation shows.

Every page is a test. Its blocks run in order, in a folder of their own, against a gateway on loopback:

* `python` is a whole program, kept as a file when its first line is `# NAME.py`; a `text` block right behind it is what
  it prints;
* `console` holds commands behind `$` and what they print; `aigw serve` keeps running until the end of the page;
* `toml` is checked as a configuration, and kept as a file when its first line is `# NAME.toml`;
* other blocks (`sh`, `json`, ...) are only read.

`...` stands for any text. The port of the documentation, 8787, is replaced by a free one.
"""

from __future__ import annotations

import contextlib
import doctest
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aigw_transports.app import config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    file
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if re.search(r"^```(python|console|toml)$", file.read_text(), re.MULTILINE)
]
SHOWN = "127.0.0.1:8787"
SECRETS = {
    "AIGW_TOKEN": "sesame",
    "ANTHROPIC_TRIAL_KEY": "sk-docs-1",
    "OPENAI_API_KEY": "sk-docs-2",
    "OPENAI_BATCH_KEY": "sk-docs-3",
}
PATIENCE_SECONDS = 120  # only for a program that hangs


class Page:
    """One page under test."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._address: str | None = None
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # With CI, Hypothesis draws the same examples in every run, and does not mind that a machine is busy.
        self._environment = {**os.environ, **SECRETS, "PATH": path, "CI": "true"}

    def run(self, text: str) -> None:
        blocks = list(FENCE.finditer(text))
        for block, following in itertools.zip_longest(blocks, blocks[1:]):
            kind, content = block[1], block[2]
            if kind == "python":
                expects = (
                    following is not None
                    and following[1] == "text"
                    and not text[block.end() : following.start()].strip()
                )
                self._run_program(content, following[2] if expects and following is not None else None)
            elif kind == "console":
                self._run_session(content)
            elif kind == "toml":
                self._check_configuration(content)

    def _run_program(self, program: str, expected: str | None) -> None:
        name = re.match(r"# (\w+\.py)\n", program)
        file = self._folder / (name[1] if name else "program.py")
        file.write_text(self._located(program))
        output = self._execute([sys.executable, "-W", "error", str(file)])
        if expected is not None:
            compare(expected, output)

    def _run_session(self, session: str) -> None:
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            if re.search(r"\baigw serve\b(?!.*--check)", command):
                output = self._serve(command)
            else:
                output = self._execute(["bash", "-c", self._located(command)])
            if expected:
                compare(self._located(expected), output)

    def _serve(self, command: str) -> str:
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command} --port 0"],
            cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._stack.callback(server.communicate)
        self._stack.callback(server.kill)
        assert server.stdout is not None
        line = server.stdout.readline()
        self._address = line.rstrip("\n").rpartition("/")[2]
        return line

    def _located(self, text: str) -> str:
        """Put in the address of the gateway; start one when the page has not."""
        host, port = SHOWN.split(":")
        if SHOWN in text or f'"{host}", {port}' in text or "aigw call" in text:
            if self._address is None:
                self._serve("aigw serve")
            assert self._address is not None
            self._environment["AIGW_URL"] = f"ws://{self._address}/v1/local/default"
            text = text.replace(SHOWN, self._address)
            text = text.replace(f'"{host}", {port}', f'"{host}", {self._address.split(":")[1]}')
        return text

    def _execute(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _check_configuration(self, text: str) -> None:
        text = re.sub(r'"file:[^"]*"', '"env:AIGW_TOKEN"', text)
        first = re.match(r"# (\w+\.toml)\n", text)
        file = self._folder / (first[1] if first else "unnamed.toml")
        file.write_text(text)
        config.parse(text, file, self._environment)


def compare(expected: str, output: str) -> None:
    """Compare as doctest does."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(expected, output, flags):
        pytest.fail(f"the documentation says\n{expected}\nbut it prints\n{output}")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    with contextlib.ExitStack() as stack:
        yield Page(tmp_path, stack)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_page(file: Path, page: Page) -> None:
    page.run(file.read_text())
