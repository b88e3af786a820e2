from __future__ import annotations

import io
import json

import pytest

from aigw_proto.gateway import GatewaySettings
from aigw_transports.app._call import call
from support.live import live_gateway, run

CHAT = '{"model":"mock","messages":[{"role":"user","content":"Hello"}]}'


class Terminal:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.err = io.StringIO()
        self.status: int | None = None

    async def call(
        self,
        url: str,
        query: str | bytes = CHAT,
        *,
        provider: str = "openai",
        stream: bool = False,
        token: str | None = None,
        headers: tuple[str, ...] = (),
    ) -> None:
        self.status = await call(
            provider,
            "chat/completions",
            query,
            url=url,
            stream=stream,
            token=token,
            headers=headers,
            out=self.out,
            err=self.err,
        )

    @property
    def frames(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_whole_answer_is_one_line(backend: str) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url)

    run(backend, main)
    assert terminal.status == 0
    assert [frame["type"] for frame in terminal.frames] == ["universal.created"]
    assert terminal.err.getvalue() == ""


@pytest.mark.parametrize("query", [CHAT, CHAT.encode(), CHAT[:-1] + ',"stream":true}'])
def test_a_stream_is_a_line_per_frame(backend: str, query: str | bytes) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url, query, stream=True)

    run(backend, main)
    kinds = [frame["type"] for frame in terminal.frames]
    assert kinds[0] == "universal.created"
    assert kinds[-1] == "universal.done"
    assert set(kinds[1:-1]) == {"universal.stream"}
    assert terminal.status == 0


def test_an_error_answer_is_shown_and_explained(backend: str) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url, headers=("x-aigw-mock: status=401",))

    run(backend, main)
    assert terminal.status == 1
    assert len(terminal.frames) == 1
    assert "401" in terminal.err.getvalue()
    assert "--header" in terminal.err.getvalue()


def test_an_unknown_provider_is_the_gateways_word(backend: str) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url, provider="nobody")

    run(backend, main)
    assert terminal.status == 1
    assert "--header" not in terminal.err.getvalue()


def test_a_wrong_token_names_the_option(backend: str) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway([GatewaySettings(authentication=True, tokens=("secret",))]) as url:
            await terminal.call(url, token="wrong")

    run(backend, main)
    assert terminal.status == 1
    assert "--token" in terminal.err.getvalue()
    assert "wrong" not in terminal.err.getvalue()


@pytest.mark.parametrize(
    ("url", "query", "headers", "complaint"),
    [
        ("http://127.0.0.1/", CHAT, (), "url: scheme"),
        ("ws://127.0.0.1:1/", CHAT, ("nonsense",), "header 'nonsense': expected NAME: VALUE"),
        ("ws://127.0.0.1:1/", CHAT, (": x",), "header '': expected NAME: VALUE"),
    ],
)
def test_wrong_arguments_are_status_2(
    backend: str, url: str, query: str, headers: tuple[str, ...], complaint: str
) -> None:
    terminal = Terminal()
    run(backend, lambda: terminal.call(url, query, headers=headers))
    assert terminal.status == 2
    assert complaint in terminal.err.getvalue()


def test_a_gateway_that_does_not_run_is_told_of(backend: str) -> None:
    terminal = Terminal()
    run(backend, lambda: terminal.call("ws://127.0.0.1:1/v1/local/default"))
    assert terminal.status == 1
    first, second = terminal.err.getvalue().splitlines()
    assert first == "aigw call: no connection to the gateway: 127.0.0.1:1: Connection refused"
    assert "aigw serve" in second


def test_a_name_that_nobody_has_is_no_reason_to_start_a_gateway(backend: str) -> None:
    terminal = Terminal()
    run(backend, lambda: terminal.call("ws://x.invalid/v1/local/default"))
    assert terminal.status == 1
    assert "x.invalid" in terminal.err.getvalue()
    assert "aigw serve" not in terminal.err.getvalue()


@pytest.mark.parametrize("query", ["{", "[1] 2", "\ud800", "NaN"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_query_that_is_not_json_is_status_2(backend: str, query: str, stream: bool) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url, query, stream=stream)

    run(backend, main)
    assert terminal.status == 2


def test_asking_for_a_stream_leaves_the_rest_as_written(backend: str) -> None:
    terminal = Terminal()

    async def main() -> None:
        async with live_gateway() as url:
            await terminal.call(url, " {}", stream=True, headers=("x-aigw-mock-echo: 1",))
            await terminal.call(url, '{ "x": 1.10}', stream=True, headers=("x-aigw-mock-echo: 1",))
            await terminal.call(url, "[]", stream=True, headers=("x-aigw-mock-echo: 1",))

    run(backend, main)
    text = terminal.out.getvalue()
    assert '"{\\"stream\\":true}"' in text
    assert '{\\"stream\\":true, \\"x\\": 1.10}' in text
