"""JavaScript clients on Node: the `ws` package, Node's own WebSocket, and the SDKs on top of these.

They run where Node and the packages of `node/package.json` are installed. Some of them make `wss://` of every URL.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import CLIENT_KEY, TOKEN

if TYPE_CHECKING:
    from .conftest import Site

FOLDER = Path(__file__).with_name("node")
NODE = shutil.which("node")
MAJOR = int(subprocess.check_output([NODE, "--version"]).removeprefix(b"v").partition(b".")[0]) if NODE else 0
TOKEN_ITEM = f"cf-aig-authorization.{TOKEN}"

pytestmark = [
    pytest.mark.skipif(MAJOR < 20, reason="no Node 20 is installed, or newer"),
    pytest.mark.skipif(not (FOLDER / "node_modules").is_dir(), reason="the packages for Node are not installed"),
]


def node(name: str, base_url: str, key: str, token: str, *, refused: bool = False) -> dict[str, Any]:
    """Run one session of sessions.mjs; return what it saw. Node has its own list of authorities to trust."""
    assert NODE is not None
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": os.environ["SSL_CERT_FILE"]}
    flags = ["--experimental-websocket"] if MAJOR < 22 else []
    command = [NODE, "--no-warnings", *flags, str(FOLDER / "sessions.mjs"), name, base_url, key, token]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode("utf-8", "replace")
    seen: dict[str, Any] = json.loads(ended.stdout)
    assert ("refused" in seen) is refused, seen
    return seen


@pytest.mark.parametrize("name", ["ws", "native"])
def test_sockets(tls_site: Site, name: str) -> None:
    """The token's subprotocol is the only one offered, and has to be selected."""
    seen = node(name, tls_site.base_url("openai", "closed"), CLIENT_KEY, TOKEN)
    assert seen == {
        "protocol": TOKEN_ITEM,
        "messages": ["Grüße, 日本", [0, 255, 128], ""],
        "close": [4007, "enough"],
    }
    (session,) = tls_site.sessions()
    assert (session["closed_by"], session["client_close"], session["client_reason"]) == ("client", 4007, "enough")


@pytest.mark.parametrize(("gateway", "key"), [("open", CLIENT_KEY), ("closed", TOKEN)], ids=["open", "closed"])
@pytest.mark.parametrize(("name", "protocol"), [("openaiRealtimeWS", ""), ("openaiRealtimeNative", "realtime")])
def test_openai_realtime(tls_site: Site, name: str, protocol: str, gateway: str, key: str) -> None:
    """Node's own WebSocket cannot send headers: the key, which may be the token, is in a subprotocol."""
    seen = node(name, tls_site.base_url("openai", gateway), key, "")
    assert "Grüße" in seen["text"]
    assert seen["protocol"] == protocol
    assert seen["tokens"] > 0
    assert len(tls_site.turns()) == 1


def test_openai_responses(tls_site: Site) -> None:
    seen = node("openaiResponses", tls_site.base_url("openai", "closed"), CLIENT_KEY, TOKEN)
    assert "Grüße" in seen["text"]
    assert seen["tokens"] > 0


@pytest.mark.parametrize("slash", ["", "/"])
def test_google(tls_site: Site, slash: str) -> None:
    """A base URL that ends in a slash makes a path with two of them."""
    seen = node("google", tls_site.base_url("google-ai-studio", "closed") + slash, CLIENT_KEY, TOKEN)
    assert "Grüße" in seen["text"]
    assert seen["tokens"] > 0


def test_deepgram(tls_site: Site) -> None:
    seen = node("deepgram", tls_site.base_url("deepgram", "closed"), CLIENT_KEY, TOKEN)
    assert "Results" in seen["types"]
    assert seen["duration"] == pytest.approx(1.0)


@pytest.mark.parametrize(("gateway", "key"), [("open", CLIENT_KEY), ("closed", TOKEN)], ids=["open", "closed"])
@pytest.mark.parametrize("name", ["cartesiaRequired", "cartesiaImported"])
def test_cartesia(tls_site: Site, name: str, gateway: str, key: str) -> None:
    """Its key, which may be the token, is in a header or in the query."""
    seen = node(name, tls_site.base_url("cartesia", gateway), key, "")
    assert "chunk" in seen["types"]


def test_refused(tls_site: Site) -> None:
    seen = node("openaiRealtimeWS", tls_site.base_url("openai", "closed"), CLIENT_KEY, "", refused=True)
    assert "401" in seen["refused"]
