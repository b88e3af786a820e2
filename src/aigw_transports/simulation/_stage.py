"""A stage for tests: a gateway, the fake provider behind it, and clients that keep what they are told.

The clients are the project's own engines, and what is done to them is done in the world: no thread, no event loop.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from typing import TYPE_CHECKING, Any, cast

from aigw_proto import client as core
from aigw_proto._limits import GatewayLimits
from aigw_proto.envelopes import Metadata, StepSettings
from aigw_proto.envelopes import Step as WireStep
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.mock import MockEngine
from aigw_proto.providers import BaseUrl, ProviderTable, parse_base_url

from .._client_replies import JsonValue, Query, decode_json, encode_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aigw_proto._effects import Deliver

    from .._network import Faults
    from ..memory import Host, World

__all__ = ["Answer", "Stage", "StageClient", "StageSession"]

_GATEWAY, _PROVIDER = "gateway", "provider"


@functools.cache
def _table() -> ProviderTable:
    """Return the built-in providers, all of them at the fake one."""
    base = parse_base_url(f"http://{_PROVIDER}")
    if not isinstance(base, BaseUrl):
        raise TypeError(base)
    return ProviderTable.builtin().redirected(base)


class Stage:
    """A gateway in a world, and a fake provider that answers for every provider, at `gateway` and `provider`."""

    def __init__(
        self,
        world: World,
        *,
        settings: GatewaySettings | None = None,
        limits: GatewayLimits | None = None,
        provider_faults: Faults | None = None,
    ) -> None:
        """Put both into the world.

        `settings` are the gateway's: tokens, stored keys, retries; `limits` its bounds. `provider_faults` is how the
        links between the two misbehave; those of clients have faults of their own.
        """
        self.world = world
        config = GatewayConfig((settings or GatewaySettings(),), _table(), limits or GatewayLimits())
        draw = random.Random(f"stage {world.seed}")  # noqa: S311 - repeatable is the point
        self._random_bytes = draw.randbytes
        engine = GatewayEngine(config, random_bytes=draw.randbytes, epoch_unix_seconds=1.8e9)
        self.gateway: Host[Any] = world.host(_GATEWAY, engine, port=80)
        """`gateway.journaled` is its request log, `gateway.break_links()` cuts all it has open."""
        self.provider: Host[Any] = world.host(_PROVIDER, MockEngine(), port=80, faults=provider_faults)
        """`provider.break_links()` cuts every connection to a provider."""
        self._clients = 0

    def client(
        self, *, faults: Faults | None = None, token: str | None = None, limits: core.ClientLimits | None = None
    ) -> StageClient:
        """Let a client of the universal API connect; it may ask at once."""
        engine = core.ClientEngine(random_bytes=self._random_bytes, limits=limits)
        return StageClient(self._connect(engine, "/v1/local/default", faults, token))

    def session(self, path: str, *, faults: Faults | None = None, token: str | None = None) -> StageSession:
        """Let a client open a realtime session: `path` is what comes behind the gateway, as in `openai?model=m`."""
        engine = core.RealtimeClientEngine(random_bytes=self._random_bytes)
        return StageSession(self._connect(engine, f"/v1/local/default/{path}", faults, token))

    def _connect(
        self,
        engine: core.ClientEngine | core.RealtimeClientEngine,
        path: str,
        faults: Faults | None,
        token: str | None,
    ) -> Host[Any]:
        self._clients += 1
        host: Host[Any] = self.world.host(f"client-{self._clients}", engine, dial_faults=faults)
        url = core.parse_url(f"ws://{_GATEWAY}{path}")
        if isinstance(url, str):
            raise ValueError(f"path: {url}")  # noqa: TRY004 - a string here is the complaint
        host.feed(core.OpenConnection(url, token))
        return host


@dataclasses.dataclass(slots=True)
class Answer:
    """What has come of a request so far."""

    ticket: int
    items: list[core.RequestItem] = dataclasses.field(default_factory=list["core.RequestItem"])
    """Everything, as the client engine hands it over."""

    @property
    def chunks(self) -> list[JsonValue]:
        """The chunks of a stream, decoded."""
        return [decode_json(item.response) for item in self.items if isinstance(item, core.ChunkReceived)]

    @property
    def response(self) -> JsonValue:
        """The whole answer, decoded; None when there is none."""
        end = self.end
        return decode_json(end.response) if isinstance(end, core.ReplyReceived | core.RequestFailed) else None

    @property
    def metadata(self) -> Metadata | None:
        """What the gateway said about it last."""
        known = [each for item in self.items if (each := getattr(item, "metadata", None)) is not None]
        return cast("Metadata", known[-1]) if known else None

    @property
    def end(self) -> core.RequestItem | None:
        """The item that ended it: `ReplyReceived`, `StreamFinished`, `StreamBroken`, `RequestFailed`, ..."""
        last = self.items[-1] if self.items else None
        return None if isinstance(last, core.StreamStarted | core.ChunkReceived) else last

    @property
    def ended(self) -> bool:
        """Nothing more comes."""
        return self.end is not None

    @property
    def error(self) -> str | None:
        """Why it failed, in words; None while it has not."""
        match self.end:
            case None | core.ReplyReceived() | core.StreamFinished():
                return None
            case core.RequestFailed(message=message):
                return message
            case core.RequestTimedOut(timeout_seconds):
                return f"timed out after {timeout_seconds} s"
            case core.StreamBroken(reason=reason) | core.RequestNotSent(reason) | core.ConnectionLost(reason=reason):
                return reason
            case other:
                raise AssertionError(other)


class _Party:
    """A client engine on its host, and what it says of its connection."""

    def __init__(self, host: Host[Any]) -> None:
        self.host = host
        self.opened = False
        self.lost: core.ConnectionLost | core.OpenFailed | core.OpenRefused | None = None
        """How the connection ended, or why there was none."""
        self._early: list[Callable[[], None]] = []
        host.on_deliver = self._take

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        self.host.feed(core.CloseConnection(code, reason))

    def _feed(self, event: object) -> None:
        """Give the engine an input, once the connection is open; what comes after its end is dropped."""
        if self.opened:
            self.host.feed(event)
        elif self.lost is None:
            self._early.append(lambda: self.host.feed(event))

    def _take(self, effect: Deliver) -> None:
        item = cast("core.ClientItem | core.RealtimeItem", effect.item)
        if isinstance(item, core.Opened):
            self.opened = True
            early, self._early = self._early, []
            for action in early:
                action()
        elif effect.ticket == core.CONNECTION_TICKET and isinstance(
            item, core.ConnectionLost | core.OpenFailed | core.OpenRefused
        ):
            self.lost = item
        else:
            self._take_more(effect)

    def _take_more(self, effect: Deliver) -> None:
        raise NotImplementedError


class StageClient(_Party):
    """A client of the universal API."""

    def __init__(self, host: Host[Any]) -> None:
        """Use `Stage.client()`."""
        super().__init__(host)
        self.answers: list[Answer] = []

    def ask(
        self,
        provider: str,
        endpoint: str,
        query: Query,
        *,
        headers: Mapping[str, str] | None = None,
        settings: StepSettings | None = None,
        event_id: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request, streamed or not; what it is answered gathers in what is returned.

        The arguments are those of `aigw_transports.anyio.Gateway.create`; `timeout` is in seconds of virtual time.
        """
        answer = Answer(len(self.answers) + 1)
        self.answers.append(answer)
        fields = tuple((headers or {}).items())
        step = WireStep(provider, endpoint, fields, encode_query(query), settings or StepSettings())
        self._feed(core.CreateRequest(answer.ticket, (step,), event_id, timeout))
        return answer

    def cancel(self, answer: Answer) -> None:
        """Take a request back: nothing more comes of it."""
        self._feed(core.CancelRequest(answer.ticket))

    def _take_more(self, effect: Deliver) -> None:
        if effect.ticket == core.CONNECTION_TICKET:
            return
        item = cast("core.RequestItem", effect.item)
        self.answers[effect.ticket - 1].items.append(item)
        self.host.feed(core.Consumed({effect.ticket: core.held_bytes(item)}))


class StageSession(_Party):
    """A client of the realtime API."""

    def __init__(self, host: Host[Any]) -> None:
        """Use `Stage.session()`."""
        super().__init__(host)
        self.messages: list[str | bytes] = []
        """What the provider said."""

    def say(self, message: str | bytes) -> None:
        """Send a text or a binary message. Raises TypeError for anything else."""
        if isinstance(message, bytes):
            self._feed(core.SendMessage(message, binary=True))
        elif isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # by its type, but who knows
            self._feed(core.SendMessage(message.encode(), binary=False))
        else:
            raise TypeError(f"message: expected str or bytes, got {type(message).__name__}")

    def _take_more(self, effect: Deliver) -> None:
        item = effect.item
        if isinstance(item, core.MessageReceived):
            self.messages.append(item.data)
            self.host.feed(core.Consumed({core.CONNECTION_TICKET: core.held_bytes(item)}))
