"""Frames to messages and back, beside other implementations, in one process: the time of each, interleaved.

python benchmarks/codec.py [--rounds N] [--only decode-text,encode-server] [--json FILE]

Every contender gets the same octets in the same reads and hands over the same thing: `str` for text, `bytes` for
binary data. A round runs every contender once for some milliseconds; what is printed are medians of rounds, in brackets
in proportion to ours, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp.base_protocol
import picows
import websockets.frames
import websockets.protocol
import wsproto.connection
import wsproto.events
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter
from codec_stream import Stream

from aigw_proto import Entropy, Role, Signal
from aigw_proto.ws import IMPLEMENTATION, Delivery, WSConnection

ROUND_SECONDS = 0.02
SIZES = (64, 512, 16 * 1024, 1024 * 1024)
FRAGMENTS = 16
Run = Callable[[], object]
"""Does one batch of work."""
UNCOUNTED: dict[Run, Run] = {}
"""What is in a contender's batch but not its own work: timed by itself and taken off."""


# Decoding


def ours(stream: Stream, masked: bool, delivery: Delivery = Delivery.MESSAGES) -> Run:
    role = Role.SERVER if masked else Role.CLIENT
    connection = WSConnection(role, now=0.0, entropy=Entropy(os.urandom), delivery=delivery)

    def run() -> object:
        last = None
        event: Any  # of a kind with data: the stream holds no others
        receive_data, next_event, need_data = connection.receive_data, connection.next_event, Signal.NEED_DATA
        for read in stream.reads:
            receive_data(read, 0.0)
            while (event := next_event()) is not need_data:
                last = event.data
        return last

    return run


def relayed(stream: Stream, masked: bool) -> Run:
    return ours(stream, masked, Delivery.RELAY)


class _Protocol(aiohttp.base_protocol.BaseProtocol):
    def __init__(self) -> None:
        self._reading_paused = False
        self._paused = False

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: ARG002 - aiohttp's signature
        self._reading_paused = False


def aiohttp_reader(stream: Stream, masked: bool) -> Run:
    """Read with the compiled reader, messages by `await queue.read()`, as a connection of aiohttp does."""
    del masked
    queue = WebSocketDataQueue(_Protocol(), 1 << 28, loop=asyncio.get_event_loop_policy().new_event_loop())
    reader = WebSocketReader(queue, 1 << 28, compress=False, decode_text=True)
    buffer = queue._buffer  # noqa: SLF001 - only to know when it is empty

    async def read_all() -> object:
        last = None
        read, feed_data = queue.read, reader.feed_data
        for data in stream.reads:
            feed_data(data)
            while buffer:
                last = (await read()).data
        return last

    def run() -> object:
        try:
            read_all().send(None)
        except StopIteration as stop:
            return stop.value
        raise AssertionError

    return run


def aiohttp_parser(stream: Stream, masked: bool) -> Run:
    """Only parse: messages are taken from the queue behind its back, which is less than any user of aiohttp pays."""
    del masked
    loop = asyncio.get_event_loop_policy().new_event_loop()

    def run() -> object:
        last = None
        queue = WebSocketDataQueue(_Protocol(), 1 << 28, loop=loop)  # a new one, since its size is not to be set
        reader = WebSocketReader(queue, 1 << 28, compress=False, decode_text=True)
        buffer = queue._buffer  # noqa: SLF001 - see above
        popleft, feed_data = buffer.popleft, reader.feed_data
        for data in stream.reads:
            feed_data(data)
            while buffer:
                last = popleft()[0].data
        return last

    return run


class _Listener(picows.WSListener):
    transport: picows.WSTransport
    last: object = None
    keep: object

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport


class _TextListener(_Listener):
    def on_ws_frame(self, _transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.last = frame.get_payload_as_utf8_text()


class _BinaryListener(_Listener):
    def on_ws_frame(self, _transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.last = frame.get_payload_as_bytes()


async def _picows_protocol(listener: _Listener) -> Any:
    server = await picows.ws_create_server(lambda _request: listener, "127.0.0.1", 0, max_frame_size=1 << 28)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    protocol = listener.transport.underlying_transport.get_protocol()
    listener.keep = server, reader, writer
    return protocol


def picows_parser(stream: Stream, masked: bool) -> Run | None:
    """Feed its buffered protocol as the loop would; the kernel's part, filling its buffer, is not counted.

    None for streams that its server does not read, and that it does not put together.
    """
    if not masked or stream.fragments > 1:
        return None
    listener = _TextListener() if stream.opcode == 1 else _BinaryListener()
    loop = asyncio.new_event_loop()
    protocol = loop.run_until_complete(_picows_protocol(listener))
    get_buffer, buffer_updated = protocol.get_buffer, protocol.buffer_updated

    def run() -> object:
        for read in stream.reads:
            start = 0
            while start < len(read):
                view = get_buffer(-1)
                size = min(len(view), len(read) - start)
                view[:size] = read[start : start + size]
                start += size
                buffer_updated(size)
        return listener.last

    def fill() -> None:
        for read in stream.reads:
            start = 0
            while start < len(read):
                view = get_buffer(-1)
                size = min(len(view), len(read) - start)
                view[:size] = read[start : start + size]
                start += size

    UNCOUNTED[run] = fill
    return run


def websockets_protocol(stream: Stream, masked: bool) -> Run:
    side = websockets.protocol.SERVER if masked else websockets.protocol.CLIENT
    protocol = websockets.protocol.Protocol(side, max_size=None)
    text = stream.opcode == 1

    def run() -> object:
        last: object = None
        event: Any  # a frame: there is no handshake on this connection
        for read in stream.reads:
            protocol.receive_data(read)
            for event in protocol.events_received():
                last = event.data.decode() if text else event.data
        return last

    def join() -> object:
        last: object = None
        parts: list[Any] = []
        for read in stream.reads:
            protocol.receive_data(read)
            for event in protocol.events_received():
                assert isinstance(event, websockets.frames.Frame)
                parts.append(event.data)
                if event.fin:
                    last = b"".join(parts).decode() if text else b"".join(parts)
                    parts.clear()
        return last

    return run if stream.fragments == 1 else join


def wsproto_connection(stream: Stream, masked: bool) -> Run:
    role = wsproto.connection.ConnectionType.SERVER if masked else wsproto.connection.ConnectionType.CLIENT
    connection = wsproto.connection.Connection(role)

    def run() -> object:
        last: object = None
        event: Any  # a message: the stream holds nothing else
        for read in stream.reads:
            connection.receive_data(read)
            for event in connection.events():
                last = event.data
        return last

    return run


# Encoding


def _batch(payload: bytes) -> range:
    return range(max(1, min(64, 262_144 // len(payload))))


def ours_encoder(payload: bytes, client: bool) -> Run:
    role = Role.CLIENT if client else Role.SERVER
    connection = WSConnection(role, now=0.0, entropy=Entropy(os.urandom))
    batch = _batch(payload)
    send_binary, data_to_send = connection.send_binary, connection.data_to_send

    def run() -> object:
        for _ in batch:
            send_binary(payload)
            data_to_send()
        return None

    return run


class _Transport:
    def write(self, data: bytes) -> None:
        pass

    def writelines(self, data: list[bytes]) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str) -> object:
        return None


def aiohttp_writer(payload: bytes, client: bool) -> Run:
    protocol = _Protocol()
    writer = WebSocketWriter(protocol, _Transport(), use_mask=client)  # type: ignore[arg-type] # a stand-in
    batch = _batch(payload)

    async def send_all() -> None:
        send_frame = writer.send_frame
        for _ in batch:
            await send_frame(payload, 2)

    def run() -> object:
        try:
            send_all().send(None)
        except StopIteration:
            return None
        raise AssertionError

    return run


def websockets_encoder(payload: bytes, client: bool) -> Run:
    side = websockets.protocol.CLIENT if client else websockets.protocol.SERVER
    protocol = websockets.protocol.Protocol(side)
    batch = _batch(payload)

    def run() -> object:
        for _ in batch:
            protocol.send_binary(payload)
            protocol.data_to_send()
        return None

    return run


def wsproto_encoder(payload: bytes, client: bool) -> Run:
    role = wsproto.connection.ConnectionType.CLIENT if client else wsproto.connection.ConnectionType.SERVER
    connection = wsproto.connection.Connection(role)
    batch = _batch(payload)

    def run() -> object:
        for _ in batch:
            connection.send(wsproto.events.BytesMessage(payload))
        return None

    return run


DECODERS: dict[str, Callable[[Stream, bool], Run | None]] = {
    "aigw": ours,
    "aigw relay": relayed,
    "aiohttp": aiohttp_reader,
    "aiohttp parser": aiohttp_parser,
    "picows": picows_parser,
    "websockets": websockets_protocol,
    "wsproto": wsproto_connection,
}
ENCODERS: dict[str, Callable[[bytes, bool], Run]] = {
    "aigw": ours_encoder,
    "aiohttp": aiohttp_writer,
    "websockets": websockets_encoder,
    "wsproto": wsproto_encoder,
}


def measure(runs: dict[str, Run], count: int, rounds: int) -> dict[str, list[float]]:
    """Return the nanoseconds of a message by name, one figure a round; what other processes take is not in them."""
    repeats: dict[str, int] = {}
    for name, run in runs.items():
        run()
        repeats[name] = max(1, int(ROUND_SECONDS / max(timed(run, 3) / 3, 1e-6)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            samples[name].append(timed(run, repeats[name]) / repeats[name] / count * 1e9)
    for name, run in runs.items():
        if run in UNCOUNTED:
            less = statistics.median(timed(UNCOUNTED[run], repeats[name]) for _ in range(rounds))
            samples[name] = [sample - less / repeats[name] / count * 1e9 for sample in samples[name]]
    return samples


def timed(run: Run, times: int) -> float:
    """Return the CPU seconds of so many batches."""
    start = time.process_time()
    for _ in range(times):
        run()
    return time.process_time() - start


def cases() -> Iterator[tuple[str, dict[str, Run], int]]:
    """Yield name, contenders and messages in a batch."""
    for kind, opcode, masked, fragments in (
        ("decode-text", 1, True, 1),
        ("decode-binary", 2, True, 1),
        ("decode-unmasked", 1, False, 1),
        ("decode-fragments", 1, True, FRAGMENTS),
    ):
        for size in SIZES:
            stream = Stream(opcode, size, masked=masked, fragments=fragments)
            runs: dict[str, Run] = {}
            for name, make in DECODERS.items():
                run = make(stream, masked)
                if run is None:
                    continue
                runs[name] = run
                last = run()
                # wsproto leaves it to its users to put messages together; then it has less to do.
                assert last == stream.payload or name in {"aigw relay", "wsproto"}, name
            yield f"{kind} {size}", runs, stream.count
    for kind, client in (("encode-server", False), ("encode-client", True)):
        for size in SIZES:
            payload = os.urandom(size)
            runs = {name: make(payload, client) for name, make in ENCODERS.items()}
            yield f"{kind} {size}", runs, len(_batch(payload))


def keep_memory() -> None:
    """Let the allocator keep what is freed. Otherwise luck decides who pays for the pages of large messages."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        mallopt(trim_threshold, 1 << 30)
        mallopt(top_pad, 1 << 26)
        mallopt(mmap_threshold, 1 << 25)


def main() -> None:
    keep_memory()
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    options = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {}
    print(f"aigw is {IMPLEMENTATION}; Python {sys.version.split()[0]}")
    for name, runs, count in cases():
        if not any(name.startswith(prefix) for prefix in options.only.split(",")):
            continue
        samples = results[name] = measure(runs, count, options.rounds)
        medians = {who: statistics.median(values) for who, values in samples.items()}
        line = " | ".join(f"{who} {value:,.0f} ns ({value / medians['aigw']:.2f})" for who, value in medians.items())
        print(f"{name}: {line}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
