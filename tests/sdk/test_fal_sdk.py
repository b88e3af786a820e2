"""fal's Python client: its realtime protocol (msgpack in binary messages), and requests over a socket.

Where it connects is read from the environment once, when it is imported. It makes `wss://` of that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fal_client")

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from .conftest import Site

REALTIME = """
import fal_client, json, sys
with fal_client.SyncClient(key=sys.argv[1]).realtime("fal-ai/fast-sdxl", use_jwt=False) as connection:
    connection.send({"prompt": "a cat", "image": bytes(1000)})
    print(json.dumps(connection.recv(), default=str))
"""
REQUEST = """
import fal_client, json, sys
with fal_client.SyncClient(key=sys.argv[1]).ws_connect("fal-ai/fast-sdxl", use_jwt=False) as socket:
    socket.send(json.dumps({"prompt": "a cat"}))
    print(socket.recv())
"""


def run(site: Site, program: str, *, gateway: str = "open", key: str = CLIENT_KEY) -> subprocess.CompletedProcess[str]:
    host = site.base_url("fal", gateway).partition("://")[2]
    return subprocess.run(
        [sys.executable, "-c", program, key],
        env={**os.environ, "FAL_RUN_HOST": host},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("gateway", "key"), [("open", CLIENT_KEY), ("closed", TOKEN)], ids=["open", "closed"])
def test_realtime(tls_site: Site, gateway: str, key: str) -> None:
    ended = run(tls_site, REALTIME, gateway=gateway, key=key)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)
    (session,) = tls_site.sessions()
    assert session["path"] == "/fal-ai/fast-sdxl/realtime"


def test_a_request_over_a_socket(tls_site: Site) -> None:
    ended = run(tls_site, REQUEST)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["type"] == "start"
    assert tls_site.sessions()[0]["path"] == "/fal-ai/fast-sdxl"


def test_a_refusal(tls_site: Site) -> None:
    ended = run(tls_site, REALTIME, gateway="closed")
    assert ended.returncode == 1
    assert "HTTP 401" in ended.stderr
