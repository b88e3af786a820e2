"""Draws results as SVG: bars for contenders, lines over sizes and counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

OURS, THEIRS, PLAIN, TEXT = "#2a6fdb", "#8fa0b5", "#c2a14d", "#7a828c"
"""Colours that can be seen on white and on black: ours, other implementations, what does less than a peer, words."""
PALETTE = ("#c2a14d", "#d1605e", "#5aa469", "#8e6bbf", "#4bb3c4", "#8fa0b5")
PLAIN_NAMES = frozenset({"none", "tcp", "C", "haproxy"})
BAR, GAP, LABELS, VALUES, WIDTH = 16, 5, 180, 70, 720
PLOT_LEFT, PLOT_TOP, PLOT_WIDTH, PLOT_HEIGHT = 70, 40, 480, 300


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """Return a whole picture."""
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" {style}>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def words(x: float, y: float, text: str, **attributes: str) -> str:
    """Return a line of text."""
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(text)}</text>'


def bars(title: str, panels: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """Draw one panel under the other; in each a bar for every contender: its value, and the spread as a part of it."""
    parts = [words(0, 16, title, font_size="15", font_weight="600")]
    y = 36.0
    for name, values in panels.items():
        parts.append(words(0, y + 8, name, font_weight="600"))
        y += 18
        most = max((value * (1 + spread) for value, spread in values.values()), default=1.0) or 1.0
        scale = (WIDTH - LABELS - VALUES) / most
        ours_first = sorted(values.items(), key=lambda item: not item[0].startswith("aigw"))
        for contender, (value, spread) in ours_first:
            colour = OURS if contender.startswith("aigw") else PLAIN if contender in PLAIN_NAMES else THEIRS
            length, middle = max(1.0, value * scale), y + BAR / 2
            parts.append(words(LABELS - 8, y + 12, contender, text_anchor="end"))
            parts.append(f'<rect x="{LABELS}" y="{y:g}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
            half = value * spread * scale
            ends = f"M{LABELS + max(0.0, length - half):.1f} {middle:g}H{LABELS + length + half:.1f}"
            parts.append(f'<path d="{ends}" stroke="{TEXT}" stroke-width="1.5"/>')
            parts.append(words(LABELS + length + half + 6, y + 12, number(value)))
            y += BAR + GAP
        y += 12
    return document(WIDTH, y, parts)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """Draw values over a logarithmic axis; the other axis is logarithmic too when the values need it."""
    points = [point for line in series.values() for point in line]
    left, right = (f(math.log10(x) for x, _ in points) for f in (min, max))
    low, high = (f(y for _, y in points) for f in (min, max))
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - left) / ((right - left) or 1.0)
        up = (math.log10(y) - bottom) / ((top - bottom) or 1)
        return PLOT_LEFT + across * PLOT_WIDTH, PLOT_TOP + (1 - up) * PLOT_HEIGHT

    parts = [words(0, 16, title, font_size="15", font_weight="600"), words(0, PLOT_TOP - 8, y_name)]
    parts.append(words(PLOT_LEFT + PLOT_WIDTH, PLOT_TOP + PLOT_HEIGHT + 36, x_name, text_anchor="end"))
    for power in range(bottom, top + 1):
        _, y = at(10**left, 10.0**power)
        parts.append(f'<path d="M{PLOT_LEFT} {y:.1f}h{PLOT_WIDTH}" stroke="{TEXT}" stroke-opacity=".3"/>')
        parts.append(words(PLOT_LEFT - 6, y + 4, number(10.0**power), text_anchor="end"))
    for tick in sorted({x for x, _ in points}):
        x, _ = at(tick, low)
        parts.append(words(x, PLOT_TOP + PLOT_HEIGHT + 18, short(tick), text_anchor="middle"))
    for place, (name, line) in enumerate(series.items()):
        colour = OURS if name == "aigw" else PALETTE[place % len(PALETTE)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in line))
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        key = PLOT_TOP + 18 * place
        parts.append(f'<rect x="{PLOT_LEFT + PLOT_WIDTH + 16}" y="{key:g}" width="12" height="12" fill="{colour}"/>')
        parts.append(words(PLOT_LEFT + PLOT_WIDTH + 34, key + 10, name))
    return document(WIDTH, PLOT_TOP + PLOT_HEIGHT + 44, parts)


def number(value: float) -> str:
    """Return three digits that say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def short(value: float) -> str:
    """Return a count or a size in bytes, as on an axis."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:g} KiB" if value < 2**20 else f"{value / 2**20:g} MiB"
    return f"{value:,g}"
