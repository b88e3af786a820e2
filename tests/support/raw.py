"""A client below any library: bytes on a socket."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from support.process import Process

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)


def masked(head: bytes, payload: bytes) -> bytes:
    """Return a frame with a mask of zeros; `head` says so itself."""
    return head + bytes(4) + payload


class Raw:
    """One connection to a gateway."""

    def __init__(self, gateway: Process) -> None:
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def response(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Read one HTTP response; status, fields, JSON body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        while len(body) < int(fields.get("content-length", "0")):
            body += self._some()
        return int(lines[0].split()[1]), fields, json.loads(body) if body else {}

    def upgrade(self, target: bytes = b"/v1/a/default", *, extensions: bytes = b"") -> dict[str, str]:
        """Open the WebSocket; return the response's fields."""
        more = b"Sec-WebSocket-Extensions: %b\r\n" % extensions if extensions else b""
        self.socket.sendall(UPGRADE % (target, more))
        status, fields, body = self.response()
        assert status == 101, body
        return fields

    def close_code(self) -> int:
        """Read frames until Close; its code."""
        head = self._exactly(2)
        while head[0] & 0x0F != 8:
            length = head[1]
            if length == 126:
                length = int.from_bytes(self._exactly(2), "big")
            self._exactly(length)
            head = self._exactly(2)
        return int.from_bytes(self._exactly(head[1])[:2], "big")

    def read_until(self, *texts: bytes) -> None:
        """Read until one of `texts` has come by."""
        tail = b""
        while not any(text in tail for text in texts):
            tail = tail[-100:] + self._some()

    def drain(self, at_least: int) -> int:
        """Read and forget, until that many bytes came or the stream is over; return how many did."""
        received = 0
        while received < at_least:
            received += len(self._some())
        return received

    def _some(self) -> bytes:
        data = self.socket.recv(65536)
        assert data, "the gateway hung up"
        return data

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the gateway hung up"
            data += more
        return data
