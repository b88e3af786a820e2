"""Where a realtime session is played: a client and a provider of the test's own, and a gateway between them or not.

There are four stages with one interface, so that one test can be played on each: on sockets or in the memory world,
with a gateway between the two ends or with none. Without a gateway a test shows that it is true; with one, that the
gateway cannot be told from none.
"""

from __future__ import annotations

import abc
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from aigw_proto._effects import LogLevel
from aigw_proto._inputs import Input
from aigw_proto._limits import GatewayLimits, WebSocketLimits
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.providers import ProviderTable, parse_realtime_url
from aigw_proto.testing import Checked
from aigw_proto.ws import DeflatePolicy
from aigw_transports.memory import Faults, Host, Peer, World
from support.process import Process, serving
from support.realtime_loop import PATIENCE_SECONDS, Loop, Socket
from support.realtime_side import Side, Wire, request, response

PROVIDERS = {
    "openai": "/v1/realtime",
    "google-ai-studio": "",
    "elevenlabs": "",
    "deepgram": "",
    "fal": "",
}
"""Providers at the scripted one, and the path in their `realtime_url`."""
GONE = "cartesia"
"""A provider that nobody is to be reached at."""
DEFLATED = "deepgram"
"""A provider that compression is offered to."""
TOKEN = "sesame-token"  # of gateway `closed`
SMALL = 128 * 1024  # buffers of the sockets of a test: what it does not read must not vanish in the kernel
HURRY: dict[str, float] = {
    "realtime_open_timeout_seconds": 0.5,
    "linger_timeout_seconds": 0.5,
    "stuck_timeout_seconds": 1.0,
}
HURRY_WEBSOCKET: dict[str, float] = {
    "ping_interval_seconds": 0.15,
    "pong_timeout_seconds": 2.0,
    "close_timeout_seconds": 0.8,
}
"""Limits for tests that wait until they are reached; the others have the defaults."""


class Stage(abc.ABC):
    """What every stage can do."""

    is_relay = False
    """A gateway stands between client and provider."""
    flood_bytes = 200 << 20
    """What is much."""
    sessions = 1000
    """How many are many."""

    def client(
        self,
        slug: str = "openai",
        rest: str = "?model=m",
        *lines: str,
        behind: bytes = b"",
        gateway: str = "default",
        octets: bool = False,
    ) -> Side:
        """Connect a client that asks for an upgrade; `behind` follows in the same segment. `octets` come one by one."""
        side = Side(self._connect(), self.run, is_client=True)
        root = f"/v1/account/{gateway}" if self.is_relay else ""
        data = request(f"{root}/{slug}{rest}", *lines) + behind
        for at in range(0, len(data), 1 if octets else len(data)):
            side.send(data[at : at + 1] if octets else data)
        return side

    def provider(self) -> Side:
        """Wait for the next connection to the provider and its request's head."""
        side = self.accepted()
        side.get_head()
        return side

    def accepted(self) -> Side:
        """Wait for the next connection to the provider."""
        return Side(self._accept(), self.run, is_client=False)

    def pair(self, slug: str = "openai", rest: str = "?model=m", *lines: str) -> tuple[Side, Side]:
        """Open a session; a client and a provider."""
        client = self.client(slug, rest, *lines)
        provider = self.provider()
        self.admit(provider)
        assert client.get_head().status == 101, client.get_head().first
        return client, provider

    @staticmethod
    def admit(provider: Side, *lines: str, behind: bytes = b"") -> None:
        """Answer a request for an upgrade with 101; `behind` follows in the same segment."""
        key = provider.get_head().get("sec-websocket-key")
        assert key is not None
        provider.send(response(key, *lines), behind)

    @abc.abstractmethod
    def run(self, until: Callable[[], bool]) -> None:
        """Let things happen until a condition holds."""

    @property
    def time(self) -> float | None:
        """Virtual time, in seconds; None where time is what it is."""
        return None

    @abc.abstractmethod
    def settle(self) -> None:
        """Let things happen until nothing happens any more."""

    @abc.abstractmethod
    def all_released(self) -> None:
        """Wait until the gateway holds no connection any more, though the test has let go of none."""

    @abc.abstractmethod
    def finish(self) -> None:
        """End the test: all that the test has left open is closed, and then nothing may be open anywhere."""

    def clear(self) -> None:  # noqa: B027 - most have nothing to do
        """Let go of what a failed test has left behind."""

    @contextmanager
    def steady(self, allowed_bytes: int) -> Generator[Callable[[], None]]:
        """Check that the gateway does not grow by more; gives a function that looks at it in between."""
        before = self._resident_bytes()

        def look() -> None:
            grown = self._resident_bytes() - before
            assert grown <= allowed_bytes, f"grown by {grown} bytes"

        yield look
        look()

    @abc.abstractmethod
    def _connect(self) -> Wire: ...

    @abc.abstractmethod
    def _accept(self) -> Wire: ...

    def _resident_bytes(self) -> int:
        return 0


class SocketStage(Stage):
    """Real sockets on loopback, with a real `aigw serve` between them or none."""

    def __init__(self, loop: Loop, gateway: Process | None) -> None:
        """Play at a loop whose listener is the provider."""
        self.loop = loop
        self.gateway = gateway
        self.is_relay = gateway is not None
        self._before = gateway.open_sockets() if gateway is not None else 0
        assert not loop.accepted, "a connection of the test before"

    def run(self, until: Callable[[], bool]) -> None:
        self.loop.run(until)

    def settle(self) -> None:
        used, quiet = -1, 0
        while quiet < 4:
            happened = self.loop.step(0.05)
            now = self.gateway.ticks() if self.gateway is not None else 0
            quiet = 0 if happened or now != used else quiet + 1
            used = now

    def all_released(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.gateway is not None and self.gateway.open_sockets() > self._before:
            assert time.monotonic() < deadline, "the gateway does not let go"
            self.loop.step(0.005)

    def finish(self) -> None:
        self.loop.close_all()
        self.all_released()
        assert not self.loop.accepted, "a connection that nobody expected"

    def clear(self) -> None:
        self.loop.close_all()

    def _connect(self) -> Socket:
        port = self.loop.port if self.gateway is None else self.gateway.port
        return self.loop.connect(port)

    def _accept(self) -> Socket:
        self.loop.run(lambda: bool(self.loop.accepted))
        return self.loop.accepted.popleft()

    def _resident_bytes(self) -> int:
        return self.gateway.resident_bytes() if self.gateway is not None else 0


class MemoryStage(Stage):
    """The memory world, with a gateway engine between the ends or none. Every run is the same: less is as good."""

    flood_bytes = 32 << 20
    sessions = 200

    def __init__(self, *, relay: bool, hurried: bool = False, faults: Faults | None = None) -> None:
        """Play in a world of its own."""
        self.is_relay = relay
        self.world = World(seed=1, faults=faults)
        self.waiting: deque[Peer] = deque()
        self._peers: list[Peer] = []
        self.listener = self.world.listen("provider", 80, on_peer=self._arrive)
        self.host: Host[Any] | None = None
        if relay:
            config = memory_config(HURRY, HURRY_WEBSOCKET) if hurried else memory_config({}, {})
            engine = GatewayEngine(config, random_bytes=random.Random(1).randbytes, epoch_unix_seconds=1.8e9)
            # High water, one read that was on its way, and a frame's head: nothing else may pile up in a driver.
            self.checked: Checked[Input] = Checked(engine, max_unsent_bytes=4 * 128 * 1024)
            self.host = self.world.host("gateway", self.checked, port=80)

    @property
    def time(self) -> float | None:
        return self.world.time

    def run(self, until: Callable[[], bool]) -> None:
        self.world.run(until=until)

    def settle(self) -> None:
        self.world.advance(5.0)

    def all_released(self) -> None:
        if self.is_relay:
            self.world.run(until=lambda: not self.checked.open_links)

    def finish(self) -> None:
        for peer in self._peers:
            peer.close()
        assert not self.waiting, "a connection that nobody expected"
        if self.host is not None:
            self.world.run()
            self.checked.finish()
            errors = [each for each in self.host.logged if each.level >= LogLevel.ERROR]
            assert not errors, errors[0].exception or errors[0]

    def _arrive(self, peer: Peer) -> None:
        self.waiting.append(peer)
        self._peers.append(peer)

    def _connect(self) -> Peer:
        peer = self.world.peer("gateway" if self.is_relay else "provider", 80)
        self._peers.append(peer)
        return peer

    def _accept(self) -> Peer:
        self.world.run(until=lambda: bool(self.waiting))
        return self.waiting.popleft()


def memory_config(limits: Mapping[str, float], websocket: Mapping[str, float]) -> GatewayConfig:
    """Return the gateway's configuration in the memory world."""
    table = ProviderTable.builtin()
    addresses = {slug: f"ws://provider{path}" for slug, path in PROVIDERS.items()} | {GONE: "ws://nowhere"}
    for slug, address in addresses.items():
        base = parse_realtime_url(address)
        assert not isinstance(base, str), base
        changed = table.with_override(slug, realtime=base, deflate=slug == DEFLATED)
        assert isinstance(changed, ProviderTable), changed
        table = changed
    return GatewayConfig(
        gateways=(GatewaySettings(), GatewaySettings(gateway_id="closed", authentication=True, tokens=(TOKEN,))),
        providers=table,
        limits=GatewayLimits(**limits),  # type: ignore[arg-type]  # the names are checked when it is called
        websocket=WebSocketLimits(**websocket),  # type: ignore[arg-type]  # likewise
        deflate=DeflatePolicy(),
    )


def serving_relay(provider_port: int, dead_port: int, *, hurried: bool = False) -> Any:
    """Run `aigw serve` whose providers are at `provider_port`; a context that gives the process."""
    addresses = {slug: f"ws://127.0.0.1:{provider_port}{path}" for slug, path in PROVIDERS.items()}
    addresses[GONE] = f"ws://127.0.0.1:{dead_port}"
    providers = "".join(
        f'[provider.{slug}]\nrealtime_url = "{address}"\n' + "permessage_deflate = true\n" * (slug == DEFLATED)
        for slug, address in addresses.items()
    )
    limits = ""
    if hurried:
        limits = "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in HURRY.items())
        limits += "[limits.websocket]\n" + "".join(f"{name} = {value}\n" for name, value in HURRY_WEBSOCKET.items())
    return serving(f"""
        [server]
        permessage_deflate = true

        [[gateway]]
        id = "default"
        authentication = false

        [[gateway]]
        id = "closed"
        tokens = ["{TOKEN}"]

        {providers}
        {limits}
        """)
