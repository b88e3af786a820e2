"""The tables of realtime providers are what the gateway does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aigw_proto.providers import ProviderTable, RealtimePlan, parse_base_url, parse_realtime_url, plan_realtime

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "realtime-providers.md").read_text()
TABLE = ProviderTable.builtin()


def rows(title: str) -> list[list[str]]:
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def planned(path: str, table: ProviderTable | str = TABLE, *, key: str | None = None) -> tuple[str, RealtimePlan]:
    assert isinstance(table, ProviderTable)
    slug = re.split(r"[/?]", path)[1]
    provider = table.find_realtime(slug)
    assert provider is not None
    plan = plan_realtime(
        provider,
        rest=path[1 + len(slug) :],
        account="{account}",
        headers=[],
        subprotocols=[],
        stored_keys={} if key is None else {"default": key},
        alias=None,
        gateway_tokens=(),
    )
    assert isinstance(plan, RealtimePlan), plan
    target = plan.target.target.decode().replace("%7Baccount%7D", "{account}")
    return f"wss://{plan.target.host_header.decode()}{target}", plan


@pytest.mark.parametrize(("path", "url"), [[*quoted(row[0]), *quoted(row[1])] for row in rows("Where it goes")])
def test_where_it_goes(path: str, url: str) -> None:
    assert planned(path)[0] == url


def test_every_realtime_provider_is_listed() -> None:
    realtime = {slug for slug in TABLE.slugs if (found := TABLE.find(slug)) is not None and found.realtime is not None}
    assert {re.split(r"[/?]", quoted(row[0])[0])[1] for row in rows("Where it goes")} == realtime | {"google"}
    assert {quoted(row[0])[0] for row in rows("Keys")} == realtime | {"custom-NAME"}


@pytest.mark.parametrize("row", rows("Keys"), ids=lambda row: row[0])
def test_where_keys_are(row: list[str]) -> None:
    slug = quoted(row[0])[0]
    url = parse_realtime_url("wss://rt.example")
    assert not isinstance(url, str)
    table = TABLE.with_custom("NAME", base=url, realtime=url)
    assert isinstance(table, ProviderTable)
    provider = table.find(slug)
    assert provider is not None
    assert provider.realtime is not None
    assert tuple(quoted(row[1])) == provider.key_headers
    keys = provider.realtime.keys
    assert tuple(quoted(row[2])) == keys.parameters
    items = [f"{name}.KEY" for name in (*keys.headers, *keys.items)] + [f"{name}, KEY" for name in keys.pairs]
    assert quoted(row[3]) == items
    if not slug.startswith("custom-"):
        name, _, value = quoted(row[4])[0].partition(": ")
        target = {"fal": "/fal/m", "azure-openai": "/azure-openai/r/d/realtime"}.get(
            slug, f"/{slug}?model=m&agent_id=a"
        )
        assert planned(target, key="KEY")[1].headers == [(name.lower().encode(), value.encode())]


def test_addresses_of_one_s_own() -> None:
    base = parse_base_url("https://eu.example/x/v1")
    realtime = parse_realtime_url("wss://rt.example/a/realtime")
    assert not isinstance(base, str)
    assert not isinstance(realtime, str)
    moved = TABLE.with_override("openai", base=base)
    pointed = TABLE.with_override("openai", base=base, realtime=realtime)
    sentences = " ".join(row[1] for row in rows("An address of your own"))
    for table, path in ((moved, "/openai"), (pointed, "/openai"), (pointed, "/openai/responses")):
        assert f"`{path}` " in sentences
        assert f" `{planned(path, table)[0]}`" in sentences
