"""Turn the last results into pictures and tables for the documentation: python benchmarks/report.py

Writes `docs/performance/*.svg`, and the texts there, which `docs/performance.md` includes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import check
import pictures
from rounds import HERE, RESULTS, spread

FOLDER = HERE.parent / "docs" / "performance"
Contenders = dict[str, dict[str, list[float]]]
TITLES = {
    "codec": "Frames",
    "echo": "Echo servers",
    "relay": "Realtime relays",
    "latency": "Latency of a relay",
    "sizes": "Cost against the size of messages",
    "sessions": "Cost against the number of sessions",
    "handshakes": "Handshakes",
    "memory": "Memory of idle sessions",
    "universal": "Universal requests and streams",
    "peers": "Other gateways",
}
TEXTS = {
    "codec": """\
Bytes to messages and back, without sockets. Every contender gets the same bytes in the same reads, and hands
over `str` for text and `bytes` for binary. `aigw relay` is what the gateway does: pieces of bytes, which are
not decoded. `aiohttp parser` is its parser alone, without the queue that its users read from. Messages of *decode
fragments* come in 16 frames; picows leaves it to its users to put them together.""",
    "echo": """\
`50 x 1` means fifty connections with one message each in flight. Without a loop's name a server runs on uvloop.
`C` is the provider that the relays have behind them, in place of a server: as much as the load can ask for.""",
    "relay": """\
Client, relay, provider, relay, client: a message that came back was relayed twice. `aigw` is the whole gateway,
which also checks, limits and watches what it relays. `tcp` only moves bytes, on uvloop, and so does haproxy;
`none` is the load on the provider itself, both on one processor. The relays with picows, aiohttp and websockets
are the shortest that are right, on uvloop. In `10 x 16` the load and the provider answer what one read brought
them with one write: messages travel sixteen together, which is the best that can happen to whoever moves only bytes.
In `10 x 16 apart` each message is a write of its own, as from programs that send a message when they have one; how
many of them a relay then finds in one read depends on how fast it is.""",
    "latency": """\
One connection, one message of 1 KiB under way: half of the time there and back, and what a relay adds to it.""",
    "sizes": """\
Ten connections, one message each in flight.""",
    "sessions": """\
Ten messages in flight go round through all sessions of a relay.""",
    "handshakes": """\
Eight connections at a time are opened, upgraded, closed with a closing handshake, and opened again. Through a
relay both of its sides are.""",
    "memory": """\
Growth of the process by 5,000 sessions, each of which has relayed one message of 512 B there and back. What the
kernel holds for their sockets is not in it.""",
    "universal": """\
32 requests under way on one WebSocket; `none` is as many connections straight to the provider over HTTP. Chunks
of streams have 150 B; *a chunk at a time* means that each stream gets one every 6.4 ms, which is read by itself.
The time of a chunk includes its share of the request that it belongs to.""",
    "peers": """\
Small requests, 32 under way: over one WebSocket through this gateway, over as many HTTP connections through the
others, which have no such API. Each process runs on one processor.""",
}
BARS = {
    "handshakes": [("rate", "a second")],
    "echo": [("rate", "messages a second"), ("cpu_us", "µs of CPU a message")],
    "relay": [("rate", "messages a second"), ("cpu_us", "µs of CPU a message")],
    "latency": [("added_p50_us", "µs added, median")],
    "universal": [("rate", "a second"), ("cpu_us", "µs of CPU each")],
    "peers": [("rate", "requests a second")],
    "memory": [("KiB", "KiB a session")],
}
"""Measures that are drawn, with their units."""
COSTS = {"ns": "ns", "cpu_us": "µs CPU", "p50_us": "µs p50", "added_p50_us": "µs added p50", "KiB": "KiB"}
UNITS = {"rate": "/s", **COSTS, "added_p99_us": "µs added p99"}
LESS_WORK = frozenset({"none", "tcp", "C", "haproxy"})
"""Contenders that do less than a peer: they show what there is to lose, and are not listed as faster."""


def medians(contenders: Contenders, measure: str) -> dict[str, tuple[float, float]]:
    """Return median and spread by contender."""
    return {
        name: (statistics.median(measures[measure]), spread(measures[measure]))
        for name, measures in contenders.items()
        if measure in measures
    }


def draw(results: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield file name and content of each picture."""
    for bench, measures in BARS.items():
        for measure, unit in measures if bench in results else []:
            panels = {case: medians(contenders, measure) for case, contenders in results[bench]["cases"].items()}
            yield f"{bench}-{measure.replace('_', '-')}.svg", pictures.bars(f"{TITLES[bench]}: {unit}", panels)
    if "codec" in results:
        for kind in (
            "decode-text",
            "decode-binary",
            "decode-unmasked",
            "decode-fragments",
            "encode-server",
            "encode-client",
        ):
            panels = {
                f"{case} bytes": medians(contenders, "ns")
                for case, contenders in results["codec"]["cases"].items()
                if kind in case
            }
            yield f"codec-{kind}.svg", pictures.bars(f"Frames, {kind.replace('-', ' ')}: ns a message", panels)
    if "sessions" in results:
        cases = results["sessions"]["cases"]
        yield "sessions.svg", pictures.lines(TITLES["sessions"], curves(cases), "sessions", "µs of CPU a message")
    if "sizes" in results:
        turned: dict[str, Contenders] = {}
        for size, contenders in results["sizes"]["cases"].items():
            for name, measures in contenders.items():
                turned.setdefault(name, {})[size] = measures
        yield "sizes.svg", pictures.lines(TITLES["sizes"], curves(turned), "message", "µs of CPU a message")


def curves(cases: dict[str, Contenders]) -> dict[str, list[tuple[float, float]]]:
    """Return CPU time over what the contenders of each case are named for, a number."""
    return {
        name: [(float(x), value) for x, (value, _) in medians(contenders, "cpu_us").items()]
        for name, contenders in cases.items()
    }


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    for row in [header, ["---"] * len(header), *rows]:
        yield f"| {' | '.join(row)} |"
    yield ""


def conditions(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the table of machine and versions."""
    newest = max(results.values(), key=lambda result: str(result["date"]))
    facts = {"measured": newest["date"], **newest["machine"], **newest["versions"]}
    yield from table(["What", ""], [[name, str(value)] for name, value in facts.items()])


def targets(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the table of what is aimed at."""
    rows = []
    for line in check.lines(results):
        aim = f"at least {line.target:g} times {line.peer}" if line.peer else f"at most {line.target:g} {line.unit}"
        measured = "not measured" if line.measured is None else f"{line.measured:.2f}"
        rows.append([line.work, line.case, aim, measured, "yes" if line.reached else "**no**"])
    yield from table(["Work", "Case", "Target", "Measured", "Reached"], rows)


def figures(bench: str, result: dict[str, Any], drawn: list[str]) -> Iterator[str]:
    """Yield the section of one benchmark: pictures, and a table with a row for each contender and case."""
    yield from (f"### {TITLES[bench]}", "", TEXTS[bench], "")
    for name in drawn:
        yield from (f"![{TITLES[bench]}]({name})", "")
    rows = []
    for case, contenders in result["cases"].items():
        measures = [name for name in UNITS if any(name in measured for measured in contenders.values())]
        for name, measured in contenders.items():
            cells = [
                f"{pictures.number(statistics.median(values))} {UNITS[measure]} ±{spread(values):.0%}"
                for measure in measures
                if (values := measured.get(measure))
            ]
            rows.append([case, name, ", ".join(cells)])
    header = ["Case", "Who", "Median, and half of the distance between the quartiles"]
    yield from ("<details><summary>Figures</summary>", "", *table(header, rows), "</details>", "")


def layers(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the table of where time goes: a row for each layer, a column for each case."""
    cases = results.get("layers", {}).get("cases", {})
    names = list(dict.fromkeys(name for contenders in cases.values() for name in contenders))
    rows = []
    for name in names:
        cells = []
        for contenders in cases.values():
            cost, whole = (check.middle(contenders, each, "cpu_us") for each in (name, names[0]))
            share = f" ({cost / whole:.0%})" if cost and whole and name != names[0] else ""
            cells.append("" if cost is None else f"{pictures.number(cost)} µs{share}" if cost else "-")
        if any(cell not in {"", "-"} for cell in cells):
            rows.append([name, *cells])
    yield from table(["Layer", *cases], rows)


def faster(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a table of all that does the same work in less time, or with less memory, than this project does."""
    rows = []
    for bench, result in results.items():
        for case, contenders in result["cases"].items():
            for name in contenders:
                if name in LESS_WORK or name.startswith("aigw") or bench == "sessions" or case.startswith("pure build"):
                    continue
                ahead = [
                    f"{1 / times:.2f} ({UNITS[measure]})"
                    for measure in ("rate", *COSTS)
                    if (times := check.ratio(contenders, "aigw", name, [measure])) and times < 0.98
                ]
                if ahead:
                    rows.append([TITLES[bench], case, name, ", ".join(ahead)])
    yield from table(["Work", "Case", "Who", "Times better than this"], rows)


def main() -> None:
    """Write everything."""
    results = check.load(RESULTS)
    ordered = {bench: results[bench] for bench in TITLES if bench in results}
    FOLDER.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[str]] = {bench: [] for bench in ordered}
    for name, content in draw(ordered):
        (FOLDER / name).write_text(content)
        drawn[name.removesuffix(".svg").partition("-")[0]].append(name)
    sections = [line for bench, result in ordered.items() for line in figures(bench, result, drawn[bench])]
    texts = {
        "conditions": conditions(ordered),
        "targets": targets(ordered),
        "layers": layers(results),
        "faster": faster(ordered),
        "figures": sections,
    }
    for name, lines in texts.items():
        (FOLDER / f"{name}.txt").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
