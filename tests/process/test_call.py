from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Process, Start

QUERY = '{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'


def output(process: Process) -> list[dict[str, object]]:
    text, _ = process.popen.communicate(timeout=60)
    return [json.loads(line) for line in text.splitlines()]


def test_a_document_and_a_stream(start: Start) -> None:
    url = start("serve", "--port", "0").url()
    call = start("call", "--url", url, "openai", "chat/completions", QUERY)
    (frame,) = output(call)
    assert (call.wait(), call.log(), frame["type"]) == (0, "", "universal.created")
    call = start("call", "--url", url, "--stream", "openai", "chat/completions", QUERY)
    kinds = [frame["type"] for frame in output(call)]
    assert call.wait() == 0
    assert (kinds[0], kinds[-1]) == ("universal.created", "universal.done")
    assert set(kinds[1:-1]) == {"universal.stream"}


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--header", "x-aigw-mock: status=404", "openai", "chat/completions", QUERY], 1, "asked to answer 404"),
        (["nobody", "chat/completions", QUERY], 1, "Invalid provider"),
        (["openai", "chat/completions", "{"], 2, "the body is not valid JSON: Expecting property name"),
        (["--header", "nonsense", "openai", "chat/completions", QUERY], 2, "expected NAME: VALUE"),
        (["--url", "http://127.0.0.1/", "openai", "chat/completions", QUERY], 2, "did you mean ws://?"),
    ],
)
def test_errors_are_told_in_a_line(start: Start, arguments: list[str], status: int, complaint: str) -> None:
    url = start("serve", "--port", "0").url()
    call = start("call", "--url", url, *arguments)
    assert call.wait() == status
    assert complaint in call.log()
    assert "Traceback" not in call.log()
    assert call.log().count("\n") == 1


def test_a_reader_that_goes_away(start: Start) -> None:
    url = start("serve", "--port", "0").url()
    read_end, write_end = os.pipe()
    os.close(read_end)
    call = start("call", "--url", url, "openai", "chat/completions", QUERY, stdout=write_end)
    os.close(write_end)
    assert call.wait() == 1
    assert call.log() == ""
