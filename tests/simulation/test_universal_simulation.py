"""Whole runs of a gateway on a bad network, judged only by what clients and providers sent and saw.

One seed is one run: sessions, requests, cancellations, disconnects, slow readers and faults on every link are drawn
from it. Nothing may be lost, duplicated, reordered within an event id, mixed up between requests, or left open.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from aigw_proto._effects import LogLevel
from aigw_proto._inputs import ShutdownRequested
from aigw_transports.memory import Faults
from support.rig import Client, Rig, gateway_config
from support.scripted import NumberedProvider

SEEDS = 320
_GROUP = 20
_HORIZON_SECONDS = 400.0
_PROMPT_SECONDS = 20.0  # less than any keep-alive: nothing may depend on a wake-up that happens to come


class Plan:
    """What one run does, drawn from its seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        chance = self.random.random
        self.client_faults = self._faults(resets=chance() < 0.3)
        self.provider_faults = self._faults(resets=chance() < 0.3)
        self.sessions = self.random.randint(1, 4)
        self.requests = self.random.randint(1, 12)
        self.misbehave = chance() < 0.5
        smallest = min(self.client_faults.max_read_bytes, self.provider_faults.max_read_bytes)
        self.large = smallest >= 500 and self.client_faults.torn < 0.5 and self.provider_faults.torn < 0.5

    def _faults(self, *, resets: bool) -> Faults:
        draw = self.random
        return Faults(
            latency_seconds=draw.choice([0.0, 0.001, 0.05]),
            jitter_seconds=draw.choice([0.0, 0.0, 0.02]),
            buffer_bytes=draw.choice([512, 8 * 1024, 128 * 1024]),
            max_read_bytes=draw.choice([1, 7, 500, 64 * 1024]),
            torn=draw.choice([0.0, 0.2, 0.9]),
            stall=draw.choice([0.0, 0.0, 0.02]),
            stall_seconds=draw.choice([0.5, 5.0]),
            reset=draw.choice([0.001, 0.01]) if resets else 0.0,
            refuse=draw.choice([0.0, 0.0, 0.2]),
        )

    def order(self, event_id: str) -> dict[str, Any]:
        draw = self.random
        order: dict[str, Any] = {
            "tag": event_id,
            "n": draw.choice([0, 1, 3, 20, 120] if self.large else [0, 1, 3, 9]),
            "pad": draw.choice([0, 10, 3000] if self.large else [0, 10]),
            "form": draw.choice(["sse", "sse", "ndjson", "json"]),
            "odd": "é\u2028",
        }
        if self.misbehave and draw.random() < 0.4:
            order["fault"] = draw.choice(["cut", "status", "stale", "reset", "garbage"])
            order["after"] = draw.randint(0, 5)
        return order


class Run:
    """One run and its observers."""

    def __init__(self, seed: int) -> None:
        self.plan = Plan(seed)
        self.draw = self.plan.random
        limits: dict[str, float] = {"upstream_idle_timeout_seconds": 60.0, "stuck_timeout_seconds": 30.0}
        if self.draw.random() < 0.5:  # marks so low that back-pressure comes and goes all the time
            limits |= {"client_high_water_bytes": 8192, "client_low_water_bytes": 1024}
            limits |= {"upstream_high_water_bytes": 2048}
        config = gateway_config(limits=limits)
        self.rig = Rig(seed=seed, faults=self.plan.client_faults, config=config)
        self.rig.listener.faults = self.plan.provider_faults
        self.provider = NumberedProvider(self.rig)
        self.clients = [self.rig.client() for _ in range(self.plan.sessions)]
        self.sent: dict[str, tuple[Client, dict[str, Any], bytes]] = {}
        self.cancelled: set[str] = set()
        self.left: set[Client] = set()
        both = (self.plan.client_faults, self.plan.provider_faults)
        self.hindered = any(faults.stall or faults.reset or faults.refuse for faults in both)

    def go(self) -> None:
        world = self.rig.world
        for number in range(self.plan.requests):
            self._ask(f"event-{number}")
            world.advance(self.draw.choice([0.0, 0.0, 0.001, 0.05, 1.0]))
            self._disturb()
        if not self.hindered:
            world.run(until=world.time + _PROMPT_SECONDS)
            ended = {record.event_id for record in self.rig.records}
            assert set(self.sent) <= ended, f"{set(self.sent) - ended} wait for nothing"
        world.run(until=world.time + _HORIZON_SECONDS)
        for client in self.clients:
            client.peer.set_reading(True)
        world.run(until=world.time + _HORIZON_SECONDS)
        self._judge_requests()
        self.rig.gateway.feed(ShutdownRequested(5.0))
        world.run(until=world.time + _HORIZON_SECONDS)
        self._judge_end()

    def _ask(self, event_id: str) -> None:
        client = self.draw.choice(self.clients)
        order = self.plan.order(event_id)
        query = json.dumps(order, ensure_ascii=self.draw.random() < 0.5, separators=(", ", " : "))
        config = '{"maxAttempts":3,"retryDelay":50}' if self.draw.random() < 0.3 else "{}"
        request = self._step(event_id, "custom-hand", config, query)
        if self.draw.random() < 0.2:
            request = f"[{self._step(event_id, 'custom-gone', config, query)},{request}]"
        text = f'{{"type":"universal.create","request":{request}}}'
        if client.ws is None or client.closed is not None or client in self.left or client.peer.broken:
            return
        client.ws.send_text(text)
        client.flush()
        self.sent[event_id] = (client, order, query.encode())

    @staticmethod
    def _step(event_id: str, provider: str, config: str, query: str) -> str:
        head = f'"eventId":"{event_id}","provider":"{provider}","endpoint":"x","headers":{{}}'
        return f'{{{head},"config":{config},"query":{query}}}'

    def _disturb(self) -> None:
        roll = self.draw.random()
        client = self.draw.choice(self.clients)
        if client in self.left or client.ws is None or client.closed is not None:
            return
        if roll < 0.08 and self.sent:
            event_id = self.draw.choice(sorted(self.sent))
            owner = self.sent[event_id][0]
            if owner.ws is not None and owner.closed is None and owner not in self.left:
                self.cancelled.add(event_id)
                owner.ws.send_text(json.dumps({"type": "universal.cancel", "eventId": event_id}))
                owner.flush()
        elif roll < 0.10 and self.plan.misbehave:
            self.left.add(client)
            client.peer.reset()
        elif roll < 0.12 and self.plan.misbehave:
            self.left.add(client)
            client.ws.send_close(1000)
            client.flush()
        elif roll < 0.18:
            self.hindered = True
            client.peer.set_reading(False)
        elif roll < 0.24:
            self.hindered = True
            client.peer.set_reading(True, bytes_per_second=self.draw.choice([5000.0, 500_000.0]))
        else:
            client.peer.set_reading(True)

    # ---- judgement -------------------------------------------------------------------------------------------------

    def _judge_requests(self) -> None:
        for event_id, (client, order, query) in self.sent.items():
            for body in self.provider.bodies.get(event_id, []):
                assert body == query, f"{event_id}: the query changed on its way"
            frames = client.of(event_id)
            if event_id in self.cancelled:
                frames = [
                    each for each in frames if each["metadata"].get("status") != 404 or "step" in each["metadata"]
                ]
            alive = client not in self.left and client.closed is None and not client.peer.broken
            self._judge_frames(event_id, order, frames, alive=alive)
            for other in self.clients:
                assert other is client or not other.of(event_id), f"{event_id}: an answer on a foreign socket"

    def _judge_frames(self, event_id: str, order: dict[str, Any], frames: list[dict[str, Any]], *, alive: bool) -> None:
        if not frames:
            assert not alive, f"{event_id}: never answered"
            return
        first, last = frames[0], frames[-1]
        if first["type"] == "universal.done":
            assert first["metadata"].get("cancelled"), f"{event_id}: ended before it began"
            assert len(frames) == 1, f"{event_id}: frames after the end"
            return
        assert first["type"] == "universal.created", event_id
        if "response" in first:
            assert len(frames) == 1, f"{event_id}: frames after a whole answer"
            self._judge_whole(event_id, order, first)
            return
        done = last["type"] == "universal.done"
        chunks = frames[1:-1] if done else frames[1:]
        for number, frame in enumerate(chunks):
            assert frame["type"] == "universal.stream", event_id
            assert frame["response"]["tag"] == event_id, f"{event_id}: somebody else's chunk"
            assert frame["response"]["i"] == number, f"{event_id}: chunk {number} is out of order"
        if not done:
            assert not alive, f"{event_id}: never ended"
        elif not last["metadata"].get("cancelled") and "error" not in last["metadata"]:
            assert len(chunks) == order["n"], f"{event_id}: {len(chunks)} of {order['n']} chunks"

    def _judge_whole(self, event_id: str, order: dict[str, Any], frame: dict[str, Any]) -> None:
        status: int = frame["metadata"]["status"]
        response: Any = frame["response"]
        if status == 200 and "items" in response:
            assert response["tag"] == event_id, f"{event_id}: somebody else's answer"
            items: list[Any] = response["items"]
            assert len(items) == order["n"], f"{event_id}: items are missing"
        else:
            # An empty stream of lines is an empty document; everything else is an error that says what happened.
            assert status != 200 or order["n"] == 0, f"{event_id}: {frame}"
            harmless = self.plan.provider_faults.reset == 0 and self.plan.provider_faults.refuse == 0
            assert status == 200 or order.get("fault") not in (None, "stale") or not harmless, (
                f"{event_id}: failed for no reason: {frame}"
            )

    def _judge_end(self) -> None:
        gateway = self.rig.gateway
        assert gateway.has_drained, "\n".join(self.rig.world.trace[-40:])
        self.rig.checked.finish()  # every link was closed, once
        errors = [each for each in gateway.logged if each.level >= LogLevel.ERROR]
        assert not errors, errors[0].exception
        answered = {record.event_id for record in self.rig.records}
        reached = {event_id for event_id in self.provider.bodies if event_id in self.sent}
        assert reached <= answered, f"no record of {reached - answered}"
        counts = [record.event_id for record in self.rig.records if record.step is not None]
        assert len(counts) == len(set(counts)), "two records of one request"


def simulate(seed: int) -> None:
    """Run one seed; an AssertionError names what broke."""
    run = Run(seed)
    try:
        run.go()
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise


@pytest.mark.parametrize("first", range(0, SEEDS, _GROUP))
def test_seeds(first: int) -> None:
    for seed in range(first, first + _GROUP):
        simulate(seed)


def test_the_same_seed_is_the_same_run() -> None:
    traces: list[list[str]] = []
    for _ in range(2):
        run = Run(11)
        run.go()
        traces.append(run.rig.world.trace)
    assert traces[0] == traces[1]
