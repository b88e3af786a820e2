"""Realtime sessions of a real browser, which can say who it is by subprotocol only.

Runs where Chromium is installed. One page of it runs every session; the tests look at what it saw.
"""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import websockets.sync.server
from websockets.exceptions import ConnectionClosed

from support import certificates
from support.process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from websockets.sync.server import ServerConnection
    from websockets.typing import Subprotocol

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = Path(__file__).with_name("realtime_page.html")
PATIENCE_SECONDS = 60.0  # only a browser that hangs needs it
TOKEN = "a-token-of-the-gateway"
KEY = "the-clients-own-key"
LARGE = "ü" * 300_000

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@dataclass
class Offered:
    """What one connection brought to the provider."""

    path: str
    subprotocols: list[str]
    origin: str | None
    authorization: str | None
    close_code: int | None = None


class Provider:
    """A provider's WebSocket server: it returns what it gets, and can be asked to close or to vanish."""

    def __init__(self) -> None:
        self.seen: list[Offered] = []
        self._server = websockets.sync.server.serve(
            self._talk, "127.0.0.1", 0, select_subprotocol=self._select, max_size=None
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._server.socket.getsockname()[1]
        return port

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()

    @staticmethod
    def _select(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if name == "realtime"), None)

    def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        headers = socket.request.headers
        names = [name.strip() for line in headers.get_all("sec-websocket-protocol") for name in line.split(",")]
        offered = Offered(socket.request.path, names, headers.get("origin"), headers.get("authorization"))
        self.seen.append(offered)
        try:
            for message in socket:
                if message == "close":
                    socket.close(4007, "that is all")
                elif message == "vanish":
                    socket.socket.shutdown(2)
                else:
                    socket.send(message)
        except ConnectionClosed:
            pass
        offered.close_code = socket.close_code


class Site(http.server.ThreadingHTTPServer):
    """Serves the page, tells it which sessions to run, and takes what it saw."""

    def __init__(self, sessions: dict[str, Any]) -> None:
        self.posted: queue.Queue[bytes] = queue.Queue()
        posted, files = self.posted, {"/": PAGE.read_bytes(), "/sessions": json.dumps(sessions).encode()}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200 if self.path in files else 404, files.get(self.path, b""))

            def do_POST(self) -> None:
                posted.put(self.rfile.read(int(self.headers["content-length"])))
                self.answer(200, b"")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)


def configuration(port: int) -> str:
    return f"""
[[gateway]]
id = "closed"
tokens = ["{TOKEN}"]

[provider.openai]
realtime_url = "ws://127.0.0.1:{port}"

[custom_provider.mine]
base_url = "http://127.0.0.1:{port}"
realtime_url = "ws://127.0.0.1:{port}/live"
allow_private_address = true
"""


def sessions(plain: str, encrypted: str) -> dict[str, Any]:
    """Return what the page is to do. Each session sends, expects so many messages, and then closes if it is to."""
    mine, openai = "/v1/account/closed/custom-mine", "/v1/account/closed/openai"
    token, key = f"cf-aig-authorization.{TOKEN}", f"openai-insecure-api-key.{KEY}"
    mixed = ["text", [0, 255, 128], "", [], "Grüße, 日本", LARGE]
    return {
        "token_alone": wanted(plain + mine, [token], mixed, (3001, "enough")),
        "openai": wanted(plain + openai + "?model=m", ["realtime", key, token], ["text"], ()),
        "encrypted": wanted(encrypted + mine, [token], mixed, (1000, "")),
        "closed_by_provider": wanted(plain + mine, [token], ["close"], None),
        "lost_provider": wanted(plain + mine, [token], ["vanish"], None),
        "wrong_token": wanted(plain + mine, ["cf-aig-authorization.no-token"], [], ()),
        "no_token": wanted(plain + mine, [], [], ()),
    }


def wanted(url: str, protocols: list[str], send: list[Any], close: tuple[object, ...] | None) -> dict[str, Any]:
    return {"url": url, "protocols": protocols, "send": send, "expect": len(send), "close": close}


def browse(site: Site, folder: Path) -> dict[str, Any]:
    """Open the page; return what it posts. The flags keep the browser from looking for hosts outside."""
    assert BROWSER is not None
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *quiet]
    command += ["--ignore-certificate-errors", f"--user-data-dir={folder}", f"http://127.0.0.1:{site.server_port}/"]
    with (folder / "log").open("wb") as log:
        browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        seen: dict[str, Any] = json.loads(site.posted.get(timeout=PATIENCE_SECONDS))
    except queue.Empty:
        pytest.fail((folder / "log").read_text("utf-8", "replace")[-4000:])
    finally:
        browser.terminate()
        browser.wait(PATIENCE_SECONDS)
    return seen


@dataclass
class Seen:
    """What everybody saw: the page by name of the session, the provider in order, the gateway's log."""

    page: dict[str, Any]
    provider: list[Offered]
    log: str


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("browser")
    certificate, key = certificates.write_files(folder)
    files = ("--tls-certificate", certificate, "--tls-key", key)
    provider = Provider()
    try:
        text = configuration(provider.port)
        compressing = "[server]\npermessage_deflate = true\n" + text
        with serving(text) as plain, serving(compressing, *files) as encrypted:
            site = Site(sessions(plain.url, encrypted.url))
            serving_site = threading.Thread(target=site.serve_forever)
            serving_site.start()
            try:
                page = browse(site, folder)
            finally:
                site.shutdown()
                serving_site.join()
                site.server_close()
            plain.wait_for_log('"type":"session"', 4)
            yield Seen(page, provider.seen, plain.log)
    finally:
        provider.stop()


def test_text_and_bytes_behind_the_tokens_subprotocol(seen: Seen) -> None:
    """The token is all that was offered: a browser gives up unless just that is selected."""
    for name, close in (("token_alone", [3001, "enough", True]), ("encrypted", [1000, "", True])):
        session = seen.page[name]
        assert session["protocol"] == f"cf-aig-authorization.{TOKEN}"
        assert session["messages"] == ["text", [0, 255, 128], "", [], "Grüße, 日本", LARGE]
        assert session["close"] == close


def test_the_providers_subprotocol_is_selected(seen: Seen) -> None:
    session = seen.page["openai"]
    assert session["protocol"] == "realtime"
    assert session["messages"] == ["text"]
    assert session["close"][0] == 1005  # what a Close without a status looks like
    (offered,) = (connection for connection in seen.provider if connection.path.startswith("/v1/realtime"))
    assert offered.path == "/v1/realtime?model=m"
    assert offered.subprotocols == ["realtime", f"openai-insecure-api-key.{KEY}"]
    assert offered.close_code == 1005


def test_what_the_provider_gets(seen: Seen) -> None:
    """No token; the page's origin."""
    opened = [name for name, session in seen.page.items() if session["opened"]]
    assert opened == ["token_alone", "openai", "encrypted", "closed_by_provider", "lost_provider"]
    assert len(seen.provider) == len(opened)
    for offered in seen.provider:
        assert not any(TOKEN in item for item in offered.subprotocols)
        assert offered.origin is not None
        assert offered.origin.startswith("http://127.0.0.1:")
    assert seen.provider[0].close_code == 3001


def test_closed_by_the_provider(seen: Seen) -> None:
    assert seen.page["closed_by_provider"]["close"] == [4007, "that is all", True]


def test_a_lost_provider(seen: Seen) -> None:
    assert seen.page["lost_provider"]["close"][0] == 1011


@pytest.mark.parametrize("name", ["wrong_token", "no_token"])
def test_refused(seen: Seen, name: str) -> None:
    """A browser does not tell a page more about a failed handshake."""
    session = seen.page[name]
    assert not session["opened"]
    assert session["close"] == [1006, "", False]


def test_no_secret_is_logged(seen: Seen) -> None:
    assert TOKEN not in seen.log
    assert KEY not in seen.log
