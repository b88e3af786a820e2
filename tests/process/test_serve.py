from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

if TYPE_CHECKING:
    from .conftest import Process, Start


def create(event_id: str, *, stream: bool = False, fault: str = "", provider: str = "openai") -> str:
    query = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hello there"}]}
    headers = {"x-aigw-mock": fault} if fault else {}
    request = {"eventId": event_id, "provider": provider, "endpoint": "chat/completions", "headers": headers}
    return json.dumps({"type": "universal.create", "request": {**request, "query": query}})


def config(tmp_path: Path, text: str) -> str:
    file = tmp_path / "aigw.toml"
    file.write_text(text)
    return str(file)


def get(process: Process, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*process.address(), timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_serves_and_drains(start: Start, transport: str) -> None:
    process = start("serve", "--port", "0", "--transport", transport)
    with connect(process.url()) as socket_:
        socket_.send(create("one"))
        frame = json.loads(socket_.recv(timeout=30))
        assert frame["metadata"]["eventId"] == "one"
        assert frame["response"]["choices"][0]["message"]["content"] == "You said: Hello there"
    assert process.stop(signal.SIGTERM) == 0
    assert process.popen.stdout is not None
    assert process.popen.stdout.read() == ""
    lines = process.log().splitlines()
    assert len(lines) == 3, lines
    assert "warning: every answer comes from the built-in fake provider" in lines[0]
    assert " 200 openai/chat/completions done document, " in lines[1]
    assert "info: draining signal=SIGTERM" in lines[2]


def test_a_running_stream_ends_before_the_process_does(start: Start) -> None:
    process = start("serve", "--port", "0")
    with connect(process.url()) as socket_:
        socket_.send(create("slow", stream=True, fault="chunk_delay=0.05,chunks=20"))
        assert json.loads(socket_.recv(timeout=30))["type"] == "universal.created"
        process.popen.send_signal(signal.SIGINT)
        frames = [json.loads(frame) for frame in socket_]
    assert frames[-1]["type"] == "universal.done"
    assert "error" not in frames[-1]["metadata"]
    assert process.wait() == 0


def test_what_does_not_end_in_time_is_ended(start: Start) -> None:
    process = start("serve", "--port", "0", "--drain-seconds", "0.2")
    with connect(process.url()) as socket_:
        socket_.send(create("endless", stream=True, fault="stall_after=1"))
        socket_.recv(timeout=30)
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_a_second_signal_ends_at_once(start: Start) -> None:
    process = start("serve", "--port", "0", "--drain-seconds", "3600")
    with connect(process.url()) as socket_:
        socket_.send(create("endless", stream=True, fault="stall_after=1"))
        socket_.recv(timeout=30)
        process.popen.send_signal(signal.SIGTERM)
        while "draining" not in process.log():
            os.sched_yield()
        assert process.stop(signal.SIGINT) == 128 + signal.SIGINT


def test_health(start: Start) -> None:
    status, body = get(start("serve", "--port", "0"), "/health")
    assert status == 200
    assert json.loads(body)["status"] == "ok"


@pytest.mark.parametrize("command", ["serve", "mock"])
def test_a_port_in_use(start: Start, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(command, "--port", str(port))
        assert process.wait() == 1
    assert process.log() == f"aigw: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_host_that_is_none(start: Start) -> None:
    process = start("serve", "--host", "no.such.host.invalid", "--port", "0")
    assert process.wait() == 1
    assert process.log().startswith("aigw: cannot listen on no.such.host.invalid:0: ")
    assert process.log().count("\n") == 1


def test_a_configuration_with_mistakes(start: Start, tmp_path: Path) -> None:
    process = start("serve", "--config", config(tmp_path, '[server]\nprot = 1\n[[gateway]]\nid = "g"\n'))
    assert process.wait() == 2
    first, second = process.log().splitlines()
    assert first.endswith('server.prot: unknown key; did you mean "port"?')
    assert "gateway[0].tokens: is missing" in second


def test_a_configuration_at_work(start: Start, tmp_path: Path) -> None:
    mock = start("mock", "--log-format", "json")
    provider = mock.url("/v1", "http")
    (tmp_path / "key.txt").write_text("sk-stored\n")
    text = f"""
        [server]
        port = 0
        [[gateway]]
        account = "acme"
        id = "prod"
        tokens = ["sesame"]
        keys.openai.default = "file:key.txt"
        [provider.openai]
        base_url = "{provider}"
        """
    process = start("serve", "--config", config(tmp_path, text), "--log-format", "json")
    url = process.url("/v1/acme/prod")
    with connect(url, additional_headers={"cf-aig-authorization": "Bearer sesame"}) as socket_:
        message = json.loads(create("echo"))
        message["request"]["headers"]["x-aigw-mock-echo"] = "1"
        socket_.send(json.dumps(message))
        frame = json.loads(socket_.recv(timeout=30))
    assert "Bearer sk-stored" in json.dumps(frame["response"])
    assert process.stop(signal.SIGTERM) == 0
    assert mock.stop(signal.SIGTERM) == 0
    entry = json.loads(process.log().splitlines()[0])
    assert (entry["type"], entry["account"], entry["gateway"], entry["status"]) == ("request", "acme", "prod", 200)
    assert json.loads(mock.log().splitlines()[0])["method"] == "POST"
    for secret in ("sesame", "sk-stored"):
        assert secret not in process.log() + mock.log()


def test_many_open_files_are_allowed(start: Start) -> None:
    process = start("serve", "--port", "0")
    process.address()
    soft, hard = resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_running_out_of_open_files_is_survived(start: Start, transport: str) -> None:
    process = start("serve", "--port", "0", "--transport", transport)
    address = process.address()
    resource.prlimit(process.popen.pid, resource.RLIMIT_NOFILE, (40, 40))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(address))
        while "cannot accept a connection" not in process.log():
            assert process.popen.poll() is None, process.log()
    with connect(f"ws://{address[0]}:{address[1]}/v1/local/default", open_timeout=60) as socket_:
        socket_.send(create("one"))
        assert json.loads(socket_.recv(timeout=60))["metadata"]["status"] == 200
    assert process.stop(signal.SIGTERM) == 0


def test_nobody_listens_to_standard_output(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("mock", "--port", str(port), stdout=write_end)
    os.close(write_end)
    while True:
        assert process.popen.poll() is None, process.log()
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert client.recv(1) == b"H"  # it listens before it minds signals, but answers only after that
            break
    assert process.stop(signal.SIGTERM) == 0
    assert "Traceback" not in process.log()
    assert process.log().count("draining") == 1
