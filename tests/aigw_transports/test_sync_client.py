"""The client in threads against a real gateway on the sync driver, and against servers that are played."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import websockets.exceptions
from websockets.sync.server import ServerConnection

import aigw_transports.sync as aigw
from aigw_proto._errors import LocalProtocolError
from aigw_proto._inputs import ConnectFailure
from aigw_proto.gateway import GatewaySettings, RequestRecord
from support import certificates
from support.threads import PATIENCE_SECONDS, live_gateway, no_thread_left
from support.websockets_server import websockets_server

CHAT = "chat/completions"
SMALL = aigw.ClientLimits(high_water_bytes=256 * 1024, low_water_bytes=64 * 1024)


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


@pytest.fixture
def url() -> Iterator[str]:
    with live_gateway() as address:
        yield address


@pytest.fixture
def gateway(url: str) -> Iterator[aigw.Gateway]:
    with aigw.connect(url) as connected:
        yield connected


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


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Call `work(number)` in so many threads; raises what one of them raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_requests_and_streams(gateway: aigw.Gateway) -> None:
    reply = gateway.create("openai", CHAT, chat("Hello"), timeout=PATIENCE_SECONDS)
    assert "Hello" in reply.decode(Completion).choices[0].message.content
    assert reply.metadata.status == 200
    events: list[str | None] = []
    query = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with gateway.stream("anthropic", "v1/messages", query, timeout=PATIENCE_SECONDS) as stream:
        assert stream.metadata.content_type is not None
        assert stream.metadata.content_type.startswith("text/event-stream")
        events.extend(chunk.event for chunk in stream)
    assert events[0] == "message_start"
    assert events[-1] == "message_stop"
    assert stream.done is not None
    assert stream.done.log_id == stream.metadata.log_id
    assert list(stream) == []
    assert gateway.in_flight == 0


def test_a_stream_needs_no_block(gateway: aigw.Gateway) -> None:
    stream = gateway.stream("openai", CHAT, chat("one two three", stream=True))
    with pytest.raises(RuntimeError, match="not open"):
        _ = stream.metadata
    assert len(list(stream)) > 3
    assert stream.done is not None
    assert gateway.in_flight == 0
    (whole,) = gateway.stream("openai", CHAT, chat("whole"))
    assert b"whole" in whole.raw


def test_a_stream_is_used_once(gateway: aigw.Gateway) -> None:
    stream = gateway.stream("openai", CHAT, chat("x"))
    stream.close()  # which does nothing yet
    with stream:
        with pytest.raises(RuntimeError, match="used once"):
            stream.__enter__()
        (chunk,) = stream
        assert chunk.response
    assert stream.done is stream.metadata


@pytest.mark.parametrize("how", ["block", "close", "forgotten"])
def test_leaving_a_stream_early_cancels_it(how: str) -> None:
    records: list[object] = []
    with live_gateway(journal=records.append) as url, aigw.connect(url) as gateway:
        stream = gateway.stream("openai", CHAT, chat("a b c d", stream=True), headers=fault("stall_after=2"))
        if how == "block":
            with stream:
                next(stream)
            assert list(stream) == []
        elif how == "close":
            with contextlib.closing(stream):
                next(stream)
            assert list(stream) == []
        else:
            next(iter(stream))
            del stream
            gc.collect()
        assert gateway.in_flight == 0
        gateway.create("openai", CHAT, chat("y"))
    assert outcomes(records) == ["cancelled", "done"]


def test_five_hundred_requests_of_fifty_threads(gateway: aigw.Gateway) -> None:
    answers: dict[str, bool] = {}

    def ask(number: int) -> None:
        for turn in range(10):
            name = f"number {number}.{turn}!"
            if turn % 3:
                text = gateway.create("openai", CHAT, chat(name)).decode(Completion).choices[0].message.content
                answers[name] = name in text
            else:
                chunks = [chunk.raw for chunk in gateway.stream("openai", CHAT, chat(name, stream=True))]
                answers[name] = f"{number}.{turn}!".encode() in b"".join(chunks)

    in_threads(50, ask)
    assert len(answers) == 500
    assert all(answers.values())
    assert gateway.in_flight == 0


def test_errors_carry_the_envelope(gateway: aigw.Gateway) -> None:
    with pytest.raises(aigw.ProviderError) as caught:
        gateway.create("openai", CHAT, chat("x"), headers=fault("status=401"))
    assert caught.value.status == 401
    assert caught.value.metadata.log_id
    with pytest.raises(aigw.RequestRejected) as rejected:
        gateway.create("nobody", CHAT, chat("x"))
    assert (type(rejected.value), rejected.value.status, rejected.value.code) == (aigw.RequestRejected, 400, 2008)
    failing = gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("status=401"))
    with pytest.raises(aigw.ProviderError):
        failing.__enter__()
    with pytest.raises(ValueError, match="not one valid JSON value"):
        gateway.create("openai", CHAT, b"{} {}")
    with pytest.raises(ValueError, match="at least one"):
        gateway.create_steps([])
    assert gateway.in_flight == 0


def test_fallback_steps(gateway: aigw.Gateway) -> None:
    steps = [
        aigw.Step("openai", CHAT, chat("x"), fault("status=500"), aigw.StepSettings(max_attempts=1)),
        aigw.Step("groq", CHAT, chat("the second")),
    ]
    assert gateway.create_steps(steps).metadata.step == 1
    (chunk,) = gateway.stream_steps(steps)
    assert b"the second" in chunk.raw


def test_create_does_not_collect_a_stream() -> None:
    records: list[object] = []
    with live_gateway(journal=records.append) as url, aigw.connect(url) as gateway:
        with pytest.raises(aigw.UnexpectedStream, match="use stream"):
            gateway.create("openai", CHAT, chat("x", stream=True), headers=fault("stall_after=1"))
        gateway.create("openai", CHAT, chat("y"))
    assert outcomes(records) == ["cancelled", "done"]


def test_a_stream_that_breaks_keeps_its_chunks(gateway: aigw.Gateway) -> None:
    chunks: list[aigw.Chunk] = []
    stream = gateway.stream("openai", CHAT, chat("one two three four", stream=True), headers=fault("cut_after=3"))
    with pytest.raises(aigw.StreamInterrupted) as caught:
        chunks.extend(stream)
    chunks.extend(stream)
    assert caught.value.metadata is not None
    assert caught.value.metadata.error
    assert stream.done is None
    assert gateway.in_flight == 0


def test_timeouts_of_requests(gateway: aigw.Gateway) -> None:
    with pytest.raises(aigw.RequestTimedOut) as caught:
        gateway.create("openai", CHAT, chat("x"), headers=fault("first_byte_delay=1000"), timeout=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout_seconds == 0.01
    stream = gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("stall_after=1"), timeout=0.05)
    with pytest.raises(aigw.RequestTimedOut):
        list(stream)
    assert gateway.in_flight == 0
    assert gateway.create("openai", CHAT, chat("x")).metadata.status == 200


def test_event_ids_can_be_given(gateway: aigw.Gateway) -> None:
    assert gateway.create("openai", CHAT, chat("x"), event_id="mine").metadata.event_id == "mine"
    spec = fault("stall_after=1")
    with (
        gateway.stream("openai", CHAT, chat("x", stream=True), headers=spec, event_id="mine"),
        pytest.raises(LocalProtocolError, match="under way already"),
    ):
        gateway.create("openai", CHAT, chat("x"), event_id="mine")


@pytest.mark.parametrize("form", list(aigw.TokenForm))
def test_the_token_is_sent_in_either_form(form: aigw.TokenForm) -> None:
    with live_gateway([GatewaySettings(authentication=True, tokens=("secret",))]) as url:
        with aigw.connect(url, token="secret", token_form=form) as gateway:
            assert gateway.headers
            assert gateway.subprotocol == (None if form is aigw.TokenForm.HEADER else "cf-aig-authorization.secret")
        with pytest.raises(aigw.HandshakeRefused) as caught, aigw.connect(url, token="wrong", token_form=form):
            raise AssertionError("the block is not entered")
    assert (caught.value.status, caught.value.code) == (401, 2009)


def test_compression_and_frames(url: str) -> None:
    frames: list[str] = []
    with aigw.connect(url, compression=aigw.DeflatePolicy(), on_frame=frames.append) as gateway:
        reply = gateway.create("openai", CHAT, chat("x"))
    assert reply.raw.decode() in frames[0]


def test_mistakes_in_the_arguments() -> None:
    with pytest.raises(ValueError, match="url: scheme: "), aigw.connect("http://127.0.0.1/"):
        raise AssertionError("the block is not entered")
    with (
        pytest.raises(LocalProtocolError, match="header 'host'"),
        aigw.connect("ws://127.0.0.1:1/", headers={"host": "x"}),
    ):
        raise AssertionError("the block is not entered")


BAD_TIMEOUTS = [(-1, ValueError), (float("nan"), ValueError), ("5", TypeError)]


@pytest.mark.parametrize(("timeout", "error"), BAD_TIMEOUTS)
def test_timeouts_that_are_none(gateway: aigw.Gateway, timeout: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout: expected "), aigw.connect("ws://127.0.0.1:1/v1/a/g", timeout=timeout):
        raise AssertionError("the block is not entered")
    with pytest.raises(error, match="timeout: expected "):
        gateway.create("openai", CHAT, chat("x"), timeout=timeout)
    with pytest.raises(error, match="timeout: expected "):
        gateway.stream("openai", CHAT, chat("x", stream=True), timeout=timeout)
    assert gateway.in_flight == 0


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 1e9])
def test_timeouts_that_are_as_good_as_none(url: str, timeout: float) -> None:
    with aigw.connect(url, timeout=timeout) as gateway:
        assert gateway.create("openai", CHAT, chat("x"), timeout=timeout).metadata.status == 200
        assert list(gateway.stream("openai", CHAT, chat("x", stream=True), timeout=timeout))


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(aigw.ConnectionFailed) as caught, aigw.connect(f"ws://127.0.0.1:{port}/v1/a/g"):
            raise AssertionError("the block is not entered")
    assert caught.value.failure is ConnectFailure.REFUSED


def test_opening_has_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1/a/g"
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"), aigw.connect(url, timeout=0.05):
            raise AssertionError("the block is not entered")


def test_wss(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    certificates.authority().cert_pem.write_to_path(str(authority))
    with live_gateway(tls=certificates.server(tmp_path)) as url:
        with aigw.connect(url, tls=aigw.TlsPolicy(str(authority))) as gateway:

            def ask(number: int) -> None:
                assert str(number) in gateway.create("openai", CHAT, chat(f"number {number}")).raw.decode()

            in_threads(20, ask)
        with pytest.raises(aigw.ConnectionFailed) as caught, aigw.connect(url):
            raise AssertionError("the block is not entered")
    assert caught.value.failure is ConnectFailure.CERTIFICATE


class UserError(Exception):
    pass


@pytest.mark.parametrize("kind", [UserError, KeyboardInterrupt, StopIteration])
def test_exceptions_leave_the_block_as_they_are(kind: type[BaseException]) -> None:
    closed: list[int] = []

    def handler(peer: ServerConnection) -> None:
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            peer.recv(timeout=PATIENCE_SECONDS)
        assert caught.value.rcvd is not None
        closed.append(caught.value.rcvd.code)

    with websockets_server(handler) as url:
        if kind is StopIteration:
            with pytest.raises(StopIteration):
                _fail_in_a_block(url, kind)
        else:
            with pytest.raises(kind), aigw.connect(url):
                raise kind
    assert closed == [1000]


def _fail_in_a_block(url: str, kind: type[BaseException]) -> None:
    with aigw.connect(url):
        raise kind


def test_a_lost_connection_ends_every_call_and_the_next() -> None:
    def handler(peer: ServerConnection) -> None:
        for _ in range(3):
            peer.recv(timeout=PATIENCE_SECONDS)
        peer.close(1012, "restart")

    lost: list[tuple[int, str]] = []
    with websockets_server(handler) as url, aigw.connect(url) as gateway:

        def ask(_: int) -> None:
            with pytest.raises(aigw.ConnectionLost) as caught:
                gateway.create("openai", CHAT, chat("x"))
            lost.append((caught.value.code, caught.value.reason))

        in_threads(3, ask)
        ask(4)
    ask(5)
    assert lost == [(1012, "restart")] * 5


def test_leaving_the_block_ends_the_calls_of_others(url: str) -> None:
    lost: list[int] = []
    with aigw.connect(url) as gateway:

        def ask() -> None:
            with pytest.raises(aigw.ConnectionLost) as caught:
                gateway.create("openai", CHAT, chat("x"), headers=fault("first_byte_delay=1000"))
            lost.append(caught.value.code)

        thread = threading.Thread(target=ask)
        thread.start()
        while not gateway.in_flight:
            os.sched_yield()
    thread.join(PATIENCE_SECONDS)
    assert lost == [1000]
    with pytest.raises(aigw.ConnectionLost):
        gateway.create("openai", CHAT, chat("too late"))


def test_a_big_stream_beside_small_calls(url: str) -> None:
    sizes: list[int] = []
    with aigw.connect(url, limits=SMALL) as gateway:

        def work(number: int) -> None:
            if number < 2:
                stream = gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("huge=4000000"))
                sizes.append(sum(len(chunk.raw) for chunk in stream))
            else:
                gateway.create("openai", CHAT, chat("small"))

        in_threads(12, work)
    assert len(sizes) == 2
    assert min(sizes) > 3_900_000


def test_a_stream_left_unread_is_given_up_for_the_others(url: str) -> None:
    limits = aigw.ClientLimits(high_water_bytes=256 * 1024, low_water_bytes=64 * 1024, stall_timeout_seconds=0.05)
    with (
        aigw.connect(url, limits=limits) as gateway,
        gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("huge=4000000")) as stream,
    ):
        next(stream)
        gateway.create("openai", CHAT, chat("small"))
        with pytest.raises(aigw.StreamInterrupted, match="left unread"):
            list(stream)


def test_streams_left_unread_and_let_go_leave_no_debt(url: str) -> None:
    with aigw.connect(url, limits=SMALL) as gateway:
        for _ in range(5):
            with gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("huge=1000000")) as stream:
                next(stream)
            gateway.create("openai", CHAT, chat("small"))


def test_many_big_requests_wait_for_the_kernel(url: str) -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=64 * 1024, sending_low_water_bytes=16 * 1024)
    query = json.dumps(chat("x" * 300_000)).encode()
    with aigw.connect(url, limits=limits) as gateway:
        in_threads(20, lambda _: gateway.create("openai", CHAT, query, headers={"x-aigw-mock-echo": "0"}))


def test_a_sink_that_raises_comes_out_of_the_block(url: str) -> None:
    def explode(_: str) -> None:
        raise UserError

    def ask() -> None:
        with aigw.connect(url, on_frame=explode) as gateway:
            gateway.create("openai", CHAT, chat("x"))

    with pytest.raises(UserError):
        ask()


def test_a_frame_that_belongs_to_nobody_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def handler(peer: ServerConnection) -> None:
        peer.send('{"type":"gateway.goaway"}')
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            peer.recv(timeout=PATIENCE_SECONDS)

    with websockets_server(handler) as url, aigw.connect(url):
        while not caplog.messages:
            os.sched_yield()
    assert "goaway" in caplog.messages[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # what the test is about
def test_a_child_process_learns_that_the_connection_is_not_its_own(url: str) -> None:
    with aigw.connect(url) as gateway:
        half_read = gateway.stream("openai", CHAT, chat("x", stream=True), headers=fault("stall_after=2"))
        next(half_read)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # nothing here may raise: it would be another run of the tests
            try:
                signal.alarm(int(PATIENCE_SECONDS))
                for call in (lambda: gateway.create("openai", CHAT, chat("x")), lambda: list(half_read)):
                    try:
                        call()
                    except aigw.ConnectionLost:
                        os.write(writing, b"lost.")
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            assert answer.read() == b"lost.lost."
        os.waitpid(child, 0)
        assert gateway.create("openai", CHAT, chat("x")).metadata.status == 200
