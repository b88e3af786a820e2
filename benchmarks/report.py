"""Turn the last results into pictures and tables for the documentation: python benchmarks/report.py

Writes `docs/performance/*.svg` and `docs/performance/figures.txt`, which `docs/performance.md` includes.
"""

from __future__ import annotations

import pathlib
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
    "handshakes": "Handshakes",
    "echo": "Echo servers",
    "relay": "Realtime relays",
    "latency": "Latency of a relay",
    "universal": "Universal requests and streams",
    "peers": "Other gateways",
    "memory": "Memory of idle sessions",
    "sessions": "Cost against the number of sessions",
    "sizes": "Cost against the size of messages",
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
        for kind in ("decode-text", "decode-binary", "decode-unmasked", "encode-server", "encode-client"):
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


def figures(bench: str, result: dict[str, Any]) -> Iterator[str]:
    """Yield the table of one benchmark: a row for each contender, a column for each case."""
    cases: dict[str, Contenders] = result["cases"]
    names = list(dict.fromkeys(name for contenders in cases.values() for name in contenders))
    rows = []
    for name in names:
        row = [name]
        for contenders in cases.values():
            measures = contenders.get(name, {})
            cells = [
                f"{pictures.number(statistics.median(values))} {UNITS[measure]} ±{spread(values):.0%}"
                for measure, values in measures.items()
                if measure in UNITS
            ]
            row.append("<br>".join(cells))
        rows.append(row)
    yield from table([TITLES[bench], *cases], rows)


def faster(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a table of all that does the same work in less time, or with less memory, than this project does."""
    rows = []
    for bench, result in results.items():
        for case, contenders in result["cases"].items():
            for name in contenders:
                if name in LESS_WORK or name.startswith("aigw") or bench == "sessions":
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
    for name, content in draw(ordered):
        (FOLDER / name).write_text(content)
    write("conditions.txt", conditions(ordered))
    write("targets.txt", targets(ordered))
    write("faster.txt", faster(ordered))
    for bench, result in ordered.items():
        write(f"{bench}.txt", figures(bench, result))


def write(name: str, lines: Iterator[str]) -> None:
    """Write a text that the report includes."""
    pathlib.Path(FOLDER / name).write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
