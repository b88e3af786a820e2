"""Playbooks of the gateway: a client with a WebSocket, and what it is told and what is logged as lines to compare.

`told("created a 200 {}")` and `journal("a done 200 tries=1 frames=1")` go among the effects that a playbook expects.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Self

from aigw_proto._effects import CloseHow, CloseLink, Connect, Effect, Journal, Log, LogLevel, SendBytes
from aigw_proto._inputs import BytesReceived, ConnectFailure, Input, LinkAccepted, LinkConnected
from aigw_proto._kinds import LinkId, Role
from aigw_proto.gateway import GatewayEngine, RequestRecord
from aigw_proto.gateway._state import RequestState, RequestTrigger
from aigw_proto.http import H1Connection
from aigw_proto.testing import Checked, Placeholder, Playbook
from aigw_proto.ws import upgrade_request
from support.frames import frame, parse
from support.rig import KEY, gateway_config
from support.turns import HAND, STREAM_HEAD, sse

CLIENT = LinkId(0)
REQUEST = (
    b"POST /v1/x HTTP/1.1\r\nhost: provider\r\ncontent-type: application/json\r\nuser-agent: aigw\r\n"
    b"accept-encoding: identity\r\ncontent-length: 2\r\n\r\n{}"
)


class Play(Playbook[Input]):
    """A playbook that begins when the client's WebSocket is open."""

    def __init__(self, **limits: Any) -> None:
        engine = GatewayEngine(
            gateway_config(limits=limits), random_bytes=random.Random(1).randbytes, epoch_unix_seconds=1.8e9
        )
        super().__init__(Checked(engine))

    def __enter__(self) -> Self:
        super().__enter__()
        http = H1Connection(Role.CLIENT, now=0.0)
        http.send_request(upgrade_request(host=b"gateway", target=b"/v1/acc/default", key=KEY))
        http.end_message()
        self.feed(LinkAccepted(CLIENT, "192.0.2.1:4000")).expect()
        self.feed(BytesReceived(CLIENT, b"".join(http.data_to_send())))
        assert self.sent(CLIENT).startswith(b"HTTP/1.1 101 ")
        return self

    def connecting(self, text: str, host: str = "provider") -> LinkId:
        """Let the client ask; return the link that the engine opens for it."""
        link = Placeholder[LinkId]("upstream")
        self.feed(says(text)).expect(Connect(link.here, host, 80))
        return link.value

    def asked(self, text: str) -> LinkId:
        """Let the client ask on a new connection, up to where the head of the answer is awaited."""
        link = self.connecting(text)
        self.feed(LinkConnected(link)).expect(SendBytes(link, [REQUEST]))
        return link

    def streaming(self, text: str) -> LinkId:
        """Let the client ask, up to where the first event of a stream was delivered."""
        link = self.asked(text)
        self.feed(BytesReceived(link, STREAM_HEAD + sse(b"1"))).expect(told("created a 200", "stream a 1"))
        return link

    def turn(self, event: Input) -> list[Effect]:
        """Return the effects of the very turn of an input, without those of any turn that follows."""
        self.checked.handle(event, self.now)
        effects: list[Effect] = []
        while (effect := self.checked.poll()) is not None:
            effects.append(effect)
        return effects


def says(*texts: str) -> BytesReceived:
    """Return messages of the client."""
    return BytesReceived(CLIENT, b"".join(frame(0x81, text.encode()) for text in texts))


def cancel(event_id: str) -> str:
    """Return a message of the client that gives up a request."""
    return json.dumps({"type": "universal.cancel", "eventId": event_id})


def fallback(first: str = HAND, **fields: Any) -> str:
    """Return request `a` with two steps."""
    step: dict[str, Any] = {"endpoint": "v1/x", "headers": {}, "query": {}}
    steps = [{"provider": first, **step, **fields}, {"provider": HAND, **step}]
    return json.dumps({"type": "universal.create", "eventId": "a", "request": steps})


def told(*lines: str) -> SendBytes:
    """Expect messages to the client: type, event id, status, what else its metadata says, and the response."""

    def check(data: bytes) -> bool:
        actual = [_line(*each) for each in parse(data)]
        assert actual == list(lines), f"the client is told {actual}, not {list(lines)}"
        return True

    return SendBytes(CLIENT, [Placeholder[bytes](" | ".join(lines), check).here])


def _line(head: int, payload: bytes) -> str:
    if head == 0x88:
        return f"close {int.from_bytes(payload[:2], 'big')}"
    assert head == 0x81
    message = json.loads(payload)
    metadata = message["metadata"]
    words = [message["type"].removeprefix("universal."), metadata["eventId"]]
    words += [str(metadata["status"])] if "status" in metadata else []
    words += [f"step {metadata['step']}"] if metadata.get("step", "0") != "0" else []
    words += ["cancelled"] if metadata.get("cancelled") else []
    words += ["broken:", metadata["error"]] if "error" in metadata else []
    if "response" in message:
        response = message["response"]
        ours = isinstance(response, dict) and "internalCode" in response
        words.append(f"gateway: {response['message']}" if ours else json.dumps(response))
    return " ".join(words)


def journal(line: str) -> Journal:
    """Expect a record in the log: event id, outcome, status, tries and messages to the client."""

    def check(entry: object) -> bool:
        assert isinstance(entry, RequestRecord)
        counts = f"tries={entry.attempts} frames={entry.frames}"
        actual = f"{entry.event_id} {entry.outcome.value} {entry.status} {counts}"
        assert actual == line, f"the log says {actual!r}, not {line!r}"
        return True

    return Journal(Placeholder[object](line, check).here)


def gone(link: LinkId) -> CloseLink:
    """Expect that the link is closed at once."""
    return CloseLink(link, CloseHow.ABORT)


def warned(host: str, failure: ConnectFailure, detail: str = "") -> Log:
    """Expect a line for the operator about a connect that failed."""
    details: dict[str, str | int | float | bool | None]
    details = {"host": host, "port": 80, "reason": failure.value, "detail": detail}
    return Log(LogLevel.WARNING, "no connection to a provider", details)


class Walked(dict[RequestTrigger, RequestState]):
    """A row of the table of transitions that notes each trigger that is looked up."""

    def __init__(self, row: dict[RequestTrigger, RequestState], note: Callable[[RequestTrigger], None]) -> None:
        super().__init__(row)
        self._note = note

    def __getitem__(self, trigger: RequestTrigger) -> RequestState:
        self._note(trigger)
        return super().__getitem__(trigger)
