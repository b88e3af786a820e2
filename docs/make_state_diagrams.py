"""Draw the state diagrams of `docs/topics/states.md` from the transition tables of the code.

Run it after a table changed: `.venv/bin/python docs/make_state_diagrams.py`. A test fails when a drawing is stale.

A diagram is plain SVG, laid out without any tool: states stand in one column in the order of their enum. All
transitions into one state share one vertical line, on the right when they come from above it and on the left when they
come from below or from itself; each leaves its state on a line of its own with the triggers' names on it. What is drawn
depends on the tables alone, so that a change in a table is a small change in the file.
"""

from __future__ import annotations

import enum
import html
import importlib
import textwrap
from pathlib import Path

from aigw_proto._kinds import record

MODULES = {
    "aigw_proto.ws._state": "WebSocket connection",
    "aigw_proto.gateway._state": "Gateway engine",
    "aigw_proto.client._state": "Client engine",
}
FOLDER = Path(__file__).parent / "topics"

BOX, SLOT, GAP, LANE, LETTER = 300, 22, 26, 16, 6.6  # sizes in pixels; LETTER is the width of one at 11 px

Table = dict[enum.Enum, dict[enum.Enum, enum.Enum]]


@record
class Edge:
    """All triggers that lead from one state to another."""

    source: enum.Enum
    target: enum.Enum
    label: str


@record
class Bus:
    """The shared line of all edges into `target` on one side."""

    target: enum.Enum
    edges: list[Edge]
    lane: int = 0


def find_tables() -> dict[str, dict[str, Table]]:
    """Return the tables of every module that has some, by title and then by name."""
    found: dict[str, dict[str, Table]] = {}
    for name, title in MODULES.items():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        tables = {key: value for key, value in vars(module).items() if key.endswith("TRANSITIONS")}
        found[title] = {
            key.removesuffix("TRANSITIONS").strip("_").lower() or "connection": table for key, table in tables.items()
        }
    return found


def edges_of(table: Table) -> list[Edge]:
    """Return one edge for each pair of states, with the names of its triggers."""
    labels: dict[tuple[enum.Enum, enum.Enum], list[str]] = {}
    for source, moves in table.items():
        for trigger, target in moves.items():
            labels.setdefault((source, target), []).append(trigger.name.lower())
    return [Edge(source, target, ", ".join(names)) for (source, target), names in labels.items()]


def draw(table: Table) -> str:
    """Return the SVG of one table."""
    states = list(table)
    order = {state: index for index, state in enumerate(states)}
    edges = edges_of(table)
    sides = [
        [edge for edge in edges if order[edge.target] > order[edge.source]],
        [edge for edge in edges if order[edge.target] <= order[edge.source]],
    ]
    slots = [place_slots(states, side) for side in sides]
    tops: dict[enum.Enum, float] = {}
    heights: dict[enum.Enum, float] = {}
    y = 12.0
    for state in states:
        tops[state] = y
        lines = 1 + len(textwrap.wrap(str(state.value), 46))
        heights[state] = max(14 + 16 * lines, 10 + SLOT * max(side.count_of(state) for side in slots))
        y += heights[state] + GAP
    widths: list[float] = []
    drawn: list[str] = []
    label_widths = [max((len(edge.label) for edge in side), default=0) * LETTER + 16 for side in sides]
    buses = [assign_lanes(side, order) for side in sides]
    for side, side_buses in enumerate(buses):
        lanes = 1 + max((bus.lane for bus in side_buses), default=-1)
        widths.append(label_widths[side] + LANE * lanes + 12 if side_buses else 12)
    left = widths[1]
    for side, side_buses in enumerate(buses):
        edge_x, sign = (left + BOX, 1) if side == 0 else (left, -1)
        for bus in side_buses:
            lane_x = edge_x + sign * (label_widths[side] + LANE * bus.lane)
            drawn += draw_bus(bus, slots[side], tops, edge_x, lane_x, sign)
    boxes = [line for state in states for line in draw_state(state, left, tops[state], heights[state])]
    width, height = left + BOX + widths[0], y - GAP + 12
    return "\n".join([*header(width, height), *drawn, *boxes, "</svg>", ""])


@record
class Slots:
    """Where lines meet a side of each state: slot 0 is for arriving ones when there are any, then one per edge."""

    arriving: set[enum.Enum]
    leaving: dict[tuple[enum.Enum, enum.Enum], int]

    def count_of(self, state: enum.Enum) -> int:
        """Return how many lines meet this side of `state`."""
        return (state in self.arriving) + sum(source is state for source, _ in self.leaving)


def place_slots(states: list[enum.Enum], side: list[Edge]) -> Slots:
    """Give every line of one side its place."""
    arriving = {edge.target for edge in side}
    leaving: dict[tuple[enum.Enum, enum.Enum], int] = {}
    for state in states:
        first = int(state in arriving)
        for index, edge in enumerate(edge for edge in side if edge.source is state):
            leaving[state, edge.target] = first + index
    return Slots(arriving, leaving)


def assign_lanes(side: list[Edge], order: dict[enum.Enum, int]) -> list[Bus]:
    """Gather edges by target and give short lines the inner lanes; lines in one lane never overlap."""
    by_target: dict[enum.Enum, list[Edge]] = {}
    for edge in side:
        by_target.setdefault(edge.target, []).append(edge)
    buses = [Bus(target, edges) for target, edges in by_target.items()]

    def extent(bus: Bus) -> tuple[int, int]:
        places = [order[bus.target], *(order[edge.source] for edge in bus.edges)]
        return min(places), max(places)

    taken: list[list[tuple[int, int]]] = []
    placed: list[Bus] = []
    for bus in sorted(buses, key=lambda bus: (extent(bus)[1] - extent(bus)[0], order[bus.target])):
        low, high = extent(bus)
        lane = next(
            (i for i, spans in enumerate(taken) if all(high < a or b < low for a, b in spans)),
            len(taken),
        )
        if lane == len(taken):
            taken.append([])
        taken[lane].append((low, high))
        placed.append(Bus(bus.target, bus.edges, lane))
    return placed


def draw_bus(
    bus: Bus, slots: Slots, tops: dict[enum.Enum, float], edge_x: float, lane_x: float, sign: int
) -> list[str]:
    """Draw the lines and labels of one bus, and its arrow head."""

    def at(state: enum.Enum, slot: int) -> float:
        return tops[state] + 5 + SLOT * slot + SLOT / 2

    arrive = at(bus.target, 0)
    ys = [arrive]
    lines: list[str] = []
    anchor = "start" if sign > 0 else "end"
    for edge in bus.edges:
        y = at(edge.source, slots.leaving[edge.source, edge.target])
        ys.append(y)
        lines.append(f'<path d="M{edge_x:g} {y:g}H{lane_x:g}"/>')
        lines.append(f'<text x="{edge_x + sign * 8:g}" y="{y - 4:g}" text-anchor="{anchor}">{edge.label}</text>')
    lines.append(f'<path d="M{lane_x:g} {min(ys):g}V{max(ys):g}"/>')
    lines.append(f'<path d="M{lane_x:g} {arrive:g}H{edge_x + sign * 3:g}" marker-end="url(#head)"/>')
    return lines


def draw_state(state: enum.Enum, x: float, y: float, height: float) -> list[str]:
    """Draw one box with the name of a state and what it means."""
    middle = x + BOX / 2
    lines = [f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="{height:g}" rx="6"/>']
    lines.append(f'<text class="name" x="{middle:g}" y="{y + 19:g}" text-anchor="middle">{state.name}</text>')
    for index, part in enumerate(textwrap.wrap(str(state.value), 46)):
        shown = html.escape(part, quote=False)
        lines.append(f'<text x="{middle:g}" y="{y + 36 + 15 * index:g}" text-anchor="middle">{shown}</text>')
    return lines


def header(width: float, height: float) -> list[str]:
    """Return the opening of a drawing of that size; the background is white on dark pages, too."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">',
        "<style>text{font:11px sans-serif;fill:#222}.name{font-weight:bold;font-size:13px}",
        "path{stroke:#555;fill:none}rect{fill:#eef4fb;stroke:#2b5a8c}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<path d="M0 0L8 4L0 8z" style="fill:#555"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" style="fill:#fff;stroke:none"/>',
    ]


def outputs() -> dict[Path, str]:
    """Return every file this script writes, with its text."""
    files: dict[Path, str] = {}
    page = [
        "# State diagrams",
        "",
        "Drawn by `docs/make_state_diagrams.py` from the transition tables in the `_state.py` files, which hold no",
        "logic. What a table does not list cannot happen, or is a bug that the engine reports. Lines on the right lead",
        "down, lines on the left lead up; the words on a line are its triggers.",
    ]
    for title, tables in find_tables().items():
        page += ["", f"## {title}"]
        for name, table in tables.items():
            words = name.replace("_", " ")
            file = f"state-{title.split()[0].lower()}-{name.replace('_', '-')}.svg"
            files[FOLDER / file] = draw(table)
            triggers = {trigger: str(trigger.value) for moves in table.values() for trigger in moves}
            page += ["", f"### {words.capitalize()}", "", f"![The states of: {words}]({file})", ""]
            page += ["| Trigger | Meaning |", "| --- | --- |"]
            page += [f"| {trigger.name.lower()} | {meaning} |" for trigger, meaning in triggers.items()]
    files[FOLDER / "states.md"] = "\n".join([*page, ""])
    return files


if __name__ == "__main__":
    for path, text in outputs().items():
        path.write_text(text)
