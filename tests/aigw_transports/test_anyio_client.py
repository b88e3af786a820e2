from __future__ import annotations

import json
import ssl
from pathlib import Path

import anyio
import msgspec
import pytest
import trustme

import aigw_transports.anyio as aigw
from aigw_proto._errors import LocalProtocolError
from aigw_proto._inputs import ConnectFailure
from aigw_proto.gateway import GatewaySettings, RequestRecord
from aigw_proto.ws import Closed, TextMessage
from support.live import Hand, live_gateway, played, run

CHAT = "chat/completions"


def chat(text: str, **more: object) -> dict[str, object]:
    return {"model": "mock", "messages": [{"role": "user", "content": text}], **more}


def fault(spec: str) -> dict[str, str]:
    return {"x-aigw-mock": spec}


def outcomes(records: list[object]) -> list[str]:
    return sorted(record.outcome.value for record in records if isinstance(record, RequestRecord))


class Message(msgspec.Struct):
    content: str


class Choice(msgspec.Struct):
    message: Message


class Completion(msgspec.Struct):
    choices: list[Choice]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_usage_of_the_readme(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            reply = await gateway.create("openai", CHAT, chat("Hello"))
            assert "Hello" in reply.decode(Completion).choices[0].message.content
            assert reply.metadata.status == 200
            assert isinstance(reply.response, dict)
            assert reply.response is reply.response
            events: list[str | None] = []
            query = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            async with gateway.stream("anthropic", "v1/messages", query) as stream:
                assert stream.metadata.content_type is not None
                assert stream.metadata.content_type.startswith("text/event-stream")
                async for chunk in stream:
                    assert isinstance(chunk.response, dict)
                    events.append(chunk.event)
            assert events[0] == "message_start"
            assert events[-1] == "message_stop"
            assert stream.done is not None
            assert stream.done.log_id == stream.metadata.log_id
            assert [chunk async for chunk in stream] == []
            assert gateway.in_flight == 0

    run(backend, main)


def test_ready_bytes_reach_the_provider_as_they_are(backend: str) -> None:
    query = b'{"messages":[ {"role":"user","content":"\\u00e9 \\ud83d"} ],"temperature":1.10,"model":"m"}'

    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            reply = await gateway.create("openai", CHAT, query, headers={"x-aigw-mock-echo": "1"})
            assert b"1.10" in reply.raw
            assert b"\\ud83d" in reply.raw or b"\\\\ud83d" in reply.raw
            assert isinstance(reply.response, dict)
            with pytest.raises(ValueError, match="not one valid JSON value"):
                await gateway.create("openai", CHAT, b"{} {}")
            with pytest.raises(TypeError):
                await gateway.create("openai", CHAT, {"x": object()})
            with pytest.raises(ValueError, match="at least one"):
                await gateway.create_steps([])

    run(backend, main)


def test_hundreds_of_calls_at_once(backend: str) -> None:
    async def main() -> None:
        answers: dict[int, str] = {}

        async def ask(gateway: aigw.Gateway, number: int) -> None:
            if number % 3:
                reply = await gateway.create("openai", CHAT, chat(f"number {number}."))
                answers[number] = reply.decode(Completion).choices[0].message.content
            else:
                text = ""
                async with gateway.stream("openai", CHAT, chat(f"number {number}.", stream=True)) as stream:
                    async for chunk in stream:
                        text += chunk.raw.decode()
                answers[number] = text

        async with live_gateway() as url, aigw.connect(url) as gateway, anyio.create_task_group() as tasks:
            for number in range(240):
                tasks.start_soon(ask, gateway, number)
        assert len(answers) == 240
        assert all(str(number) in text for number, text in answers.items())

    run(backend, main)


def test_errors_carry_the_envelope(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            with pytest.raises(aigw.ProviderError) as caught:
                await gateway.create("openai", CHAT, chat("x"), headers=fault("status=401"))
            assert caught.value.status == 401
            assert caught.value.metadata.log_id
            assert isinstance(caught.value.response, dict)
            assert caught.value.message in str(caught.value)
            with pytest.raises(aigw.RequestRejected) as rejected:
                await gateway.create("nobody", CHAT, chat("x"))
            assert (type(rejected.value), rejected.value.status, rejected.value.code) == (
                aigw.RequestRejected,
                400,
                2008,
            )
            with pytest.raises(aigw.ProviderError):
                async with gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("status=401")):
                    raise AssertionError("the block is not entered")
            assert gateway.in_flight == 0

    run(backend, main)


def test_fallback_steps(backend: str) -> None:
    async def main() -> None:
        steps = [
            aigw.Step("openai", CHAT, chat("x"), fault("status=500"), aigw.StepSettings(max_attempts=1)),
            aigw.Step("groq", CHAT, chat("the second")),
        ]
        async with live_gateway() as url, aigw.connect(url) as gateway:
            reply = await gateway.create_steps(steps)
            assert reply.metadata.step == 1
            async with gateway.stream_steps(steps) as stream:
                (chunk,) = [chunk async for chunk in stream]
                assert b"the second" in chunk.raw

    run(backend, main)


def test_create_does_not_collect_a_stream(backend: str) -> None:
    records: list[object] = []

    async def main() -> None:
        async with live_gateway(journal=records.append) as url, aigw.connect(url) as gateway:
            with pytest.raises(aigw.UnexpectedStream, match="use stream"):
                await gateway.create("openai", CHAT, chat("x", stream=True), headers=fault("stall_after=1"))
            await gateway.create("openai", CHAT, chat("y"))

    run(backend, main)
    assert outcomes(records) == ["cancelled", "done"]


def test_a_stream_that_breaks_keeps_its_chunks(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            chunks: list[aigw.Chunk] = []
            spec = fault("cut_after=3")
            async with gateway.stream("openai", CHAT, chat("one two three four", stream=True), headers=spec) as stream:

                async def read() -> None:
                    async for chunk in stream:
                        chunks.append(chunk)  # noqa: PERF401 - those before the exception count

                with pytest.raises(aigw.StreamInterrupted) as caught:
                    await read()
            assert len(chunks) == 3
            assert caught.value.metadata is not None
            assert caught.value.metadata.error
            assert stream.done is None
            assert [chunk async for chunk in stream] == []

    run(backend, main)


def test_leaving_a_stream_early_cancels_it(backend: str) -> None:
    records: list[object] = []

    async def main() -> None:
        async with live_gateway(journal=records.append) as url, aigw.connect(url) as gateway:
            spec = fault("stall_after=2")
            async with gateway.stream("openai", CHAT, chat("a b c d", stream=True), headers=spec) as stream:
                async for _ in stream:
                    break
            assert gateway.in_flight == 0
            await gateway.create("openai", CHAT, chat("y"))

    run(backend, main)
    assert outcomes(records) == ["cancelled", "done"]


def test_cancelling_the_task_cancels_the_request(backend: str) -> None:
    records: list[object] = []

    async def main() -> None:
        async with live_gateway(journal=records.append) as url, aigw.connect(url) as gateway:

            async def wait_for_ever(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                async with gateway.stream(
                    "openai", CHAT, chat("x", stream=True), headers=fault("stall_after=1")
                ) as stream:
                    await anext(stream)
                    task_status.started()
                    await gateway.create("openai", CHAT, chat("x"), headers=fault("first_byte_delay=1000"))

            async with anyio.create_task_group() as tasks:
                await tasks.start(wait_for_ever)
                tasks.cancel_scope.cancel()
            assert gateway.in_flight == 0
            await gateway.create("openai", CHAT, chat("y"))

    run(backend, main)
    assert outcomes(records) == ["cancelled", "cancelled", "done"]


def test_a_request_has_a_timeout(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            with pytest.raises(aigw.RequestTimedOut) as caught:
                await gateway.create("openai", CHAT, chat("x"), headers=fault("first_byte_delay=1000"), timeout=0.01)
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.timeout_seconds == 0.01

    run(backend, main)


def test_event_ids_can_be_given(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            reply = await gateway.create("openai", CHAT, chat("x"), event_id="mine")
            assert reply.metadata.event_id == "mine"
            spec = fault("stall_after=1")
            async with gateway.stream("openai", CHAT, chat("x", stream=True), headers=spec, event_id="mine"):
                with pytest.raises(LocalProtocolError, match="under way already"):
                    await gateway.create("openai", CHAT, chat("x"), event_id="mine")

    run(backend, main)


@pytest.mark.parametrize("form", list(aigw.TokenForm))
def test_the_token_is_sent_in_either_form(backend: str, form: aigw.TokenForm) -> None:
    guarded = GatewaySettings(authentication=True, tokens=("secret",))

    async def main() -> None:
        async with live_gateway([guarded]) as url:
            async with aigw.connect(url, token="secret", token_form=form) as gateway:
                await gateway.create("openai", CHAT, chat("x"))
                assert gateway.headers
                assert gateway.subprotocol == (None if form is aigw.TokenForm.HEADER else "cf-aig-authorization.secret")
            with pytest.raises(aigw.HandshakeRefused) as caught:
                async with aigw.connect(url, token="wrong", token_form=form):
                    raise AssertionError("the block is not entered")
            assert (caught.value.status, caught.value.code) == (401, 2009)
            assert json.loads(caught.value.body)["name"] == "AiGatewayError"

    run(backend, main)


def test_compression_and_frames(backend: str) -> None:
    frames: list[str] = []

    async def main() -> None:
        async with (
            live_gateway() as url,
            aigw.connect(url, compression=aigw.DeflatePolicy(), on_frame=frames.append) as gateway,
        ):
            reply = await gateway.create("openai", CHAT, chat("x"))
            assert reply.raw.decode() in frames[0]

    run(backend, main)


@pytest.mark.parametrize(
    ("url", "part"),
    [("http://127.0.0.1/", "scheme"), ("ws://", "host"), ("ws://h:0/", "port"), ("ws://u@h/", "user")],
)
def test_a_bad_url_names_the_part(backend: str, url: str, part: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=f"url: {part}: "):
            async with aigw.connect(url):
                raise AssertionError("the block is not entered")

    run(backend, main)


def test_a_header_that_cannot_be_sent_is_a_mistake(backend: str) -> None:
    async def main() -> None:
        with pytest.raises(LocalProtocolError, match="header 'host'"):
            async with aigw.connect("ws://127.0.0.1:1/", headers={"host": "x"}):
                raise AssertionError("the block is not entered")

    run(backend, main)


def test_nobody_listens(backend: str) -> None:
    async def main() -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        await listener.aclose()
        with pytest.raises(aigw.ConnectionFailed) as caught:
            async with aigw.connect(f"ws://127.0.0.1:{port}/v1/a/g"):
                raise AssertionError("the block is not entered")
        assert caught.value.failure is ConnectFailure.REFUSED

    run(backend, main)


class UserError(Exception):
    pass


def test_cancelling_the_block_says_close(backend: str) -> None:
    closed: list[Closed] = []

    async def play(hand: Hand) -> None:
        await hand.accept()
        closed.append(await hand.read_to_end())

    async def main() -> None:
        async with played(play) as url:
            with anyio.CancelScope() as scope:
                async with aigw.connect(url):
                    scope.cancel()
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            await anyio.wait_all_tasks_blocked()
        assert [event.code for event in closed] == [1000]

    run(backend, main)


def test_cancelling_while_connecting(backend: str) -> None:
    async def play(hand: Hand) -> None:
        await hand.stream.receive()
        scope.cancel()
        await anyio.sleep_forever()

    scope: anyio.CancelScope

    async def main() -> None:
        nonlocal scope
        async with played(play) as url:
            with anyio.CancelScope() as scope:
                async with aigw.connect(url):
                    raise AssertionError("the block is not entered")
            assert scope.cancelled_caught

    run(backend, main)


def test_a_lost_connection_ends_every_call_and_the_next(backend: str) -> None:
    async def play(hand: Hand) -> None:
        await hand.accept()
        assert hand.ws is not None
        seen = 0
        while seen < 3:
            hand.ws.receive_data(await hand.stream.receive(), anyio.current_time())
            while isinstance(hand.ws.next_event(), TextMessage):
                seen += 1
        hand.ws.send_close(1012, "restart")
        await hand.flush()

    async def main() -> None:
        lost: list[aigw.ConnectionLost] = []

        async def ask(gateway: aigw.Gateway) -> None:
            with pytest.raises(aigw.ConnectionLost) as caught:
                await gateway.create("openai", CHAT, chat("x"))
            lost.append(caught.value)

        async with played(play) as url, aigw.connect(url) as gateway:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask, gateway)
            await ask(gateway)
        assert [(error.code, error.reason) for error in lost] == [(1012, "restart")] * 4
        with pytest.raises(aigw.ConnectionLost):
            await gateway.create("openai", CHAT, chat("x"))

    run(backend, main)


def test_leaving_the_block_ends_the_calls_of_others(backend: str) -> None:
    async def main() -> None:
        lost: list[aigw.ConnectionLost] = []

        async def ask(gateway: aigw.Gateway) -> None:
            with pytest.raises(aigw.ConnectionLost) as caught:
                await gateway.create("openai", CHAT, chat("x"), headers=fault("first_byte_delay=1000"))
            lost.append(caught.value)

        async with live_gateway() as url, anyio.create_task_group() as tasks, aigw.connect(url) as gateway:
            tasks.start_soon(ask, gateway)
            while not gateway.in_flight:
                await anyio.wait_all_tasks_blocked()
        assert [error.code for error in lost] == [1000]

    run(backend, main)


def test_a_stream_is_used_once_and_in_its_block(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url) as gateway:
            stream = gateway.stream("openai", CHAT, chat("x"))
            with pytest.raises(RuntimeError, match="not open"):
                await anext(stream)
            with pytest.raises(RuntimeError, match="not open"):
                _ = stream.metadata
            async with stream:
                with pytest.raises(RuntimeError, match="used once"):
                    await stream.__aenter__()
                (chunk,) = [chunk async for chunk in stream]
                assert chunk.response
            assert stream.done is stream.metadata

    run(backend, main)


SMALL = aigw.ClientLimits(high_water_bytes=256 * 1024, low_water_bytes=64 * 1024)


def test_a_big_stream_beside_small_calls(backend: str) -> None:
    async def main() -> None:
        sizes: list[int] = []

        async def read(gateway: aigw.Gateway) -> None:
            spec = fault("huge=4000000")
            async with gateway.stream("openai", CHAT, chat("x", stream=True), headers=spec) as stream:
                sizes.append(sum([len(chunk.raw) async for chunk in stream]))

        async with (
            live_gateway() as url,
            aigw.connect(url, limits=SMALL) as gateway,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(read, gateway)
            tasks.start_soon(read, gateway)
            for _ in range(20):
                await gateway.create("openai", CHAT, chat("small"))
        assert len(sizes) == 2
        assert min(sizes) > 3_900_000

    run(backend, main)


def test_a_stream_left_unread_is_given_up_for_the_others(backend: str) -> None:
    limits = aigw.ClientLimits(high_water_bytes=256 * 1024, low_water_bytes=64 * 1024, stall_timeout_seconds=0.05)

    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url, limits=limits) as gateway:
            spec = fault("huge=4000000")
            async with gateway.stream("openai", CHAT, chat("x", stream=True), headers=spec) as stream:
                await anext(stream)
                await gateway.create("openai", CHAT, chat("small"))
                with pytest.raises(aigw.StreamInterrupted, match="left unread") as caught:
                    assert [chunk async for chunk in stream] == []
                assert caught.value.metadata is None

    run(backend, main)


def test_streams_left_unread_and_let_go_leave_no_debt(backend: str) -> None:
    async def main() -> None:
        async with live_gateway() as url, aigw.connect(url, limits=SMALL) as gateway:
            for _ in range(5):
                spec = fault("huge=1000000")
                async with gateway.stream("openai", CHAT, chat("x", stream=True), headers=spec) as stream:
                    await anext(stream)
                await gateway.create("openai", CHAT, chat("small"))

    run(backend, main)


def test_many_big_requests_wait_for_the_kernel(backend: str) -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=64 * 1024, sending_low_water_bytes=16 * 1024)
    query = json.dumps(chat("x" * 300_000)).encode()

    async def main() -> None:
        done = 0

        async def ask(gateway: aigw.Gateway) -> None:
            nonlocal done
            await gateway.create("openai", CHAT, query, headers={"x-aigw-mock-echo": "0"})
            done += 1

        async with (
            live_gateway() as url,
            aigw.connect(url, limits=limits) as gateway,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(20):
                tasks.start_soon(ask, gateway)
        assert done == 20

    run(backend, main)


def test_a_sink_that_raises_comes_out_of_the_block(backend: str) -> None:
    def explode(_: str) -> None:
        raise UserError

    async def main() -> None:
        async with live_gateway() as url:
            with pytest.raises(UserError):
                async with aigw.connect(url, on_frame=explode) as gateway:
                    await gateway.create("openai", CHAT, chat("x"))

    run(backend, main)


def test_a_frame_that_belongs_to_nobody_is_logged(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    async def play(hand: Hand) -> None:
        await hand.accept()
        assert hand.ws is not None
        hand.ws.send_text('{"type":"gateway.goaway"}')
        await hand.flush()
        await hand.read_to_end()

    async def main() -> None:
        async with played(play) as url, aigw.connect(url):
            while not caplog.messages:
                await anyio.wait_all_tasks_blocked()

    run(backend, main)
    assert "goaway" in caplog.messages[0]


def test_wss_checks_the_certificate(backend: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)  # pyright: ignore[reportUnknownMemberType] - OpenSSL types

    async def play(hand: Hand) -> None:
        try:
            await hand.accept()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return  # the client did not trust the certificate
        assert hand.ws is not None
        hand.ws.send_close()
        await hand.flush()
        await hand.read_to_end()

    async def main() -> None:
        async with played(play, server) as url:
            url = url.replace("127.0.0.1", "localhost")
            async with aigw.connect(url, tls=aigw.TlsPolicy(str(tmp_path / "ca.pem"))) as gateway:
                with pytest.raises(aigw.ConnectionLost) as lost:
                    await gateway.create("openai", CHAT, chat("x"))
                assert lost.value.code == 1000
            with pytest.raises(aigw.ConnectionFailed) as caught:
                async with aigw.connect(url):
                    raise AssertionError("the block is not entered")
            assert caught.value.failure is ConnectFailure.CERTIFICATE

    run(backend, main)
