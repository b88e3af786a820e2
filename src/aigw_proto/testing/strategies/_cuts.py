"""Ways in which a byte stream arrives."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["cuts"]


def cuts(data: bytes, *, max_cuts: int = 8) -> st.SearchStrategy[list[bytes]]:
    """Draw `data` cut at up to `max_cuts` places, or byte by byte; chunks are never empty. Shrinks to the whole."""
    if len(data) < 2:
        return st.just([data] if data else [])
    places = st.lists(st.integers(1, len(data) - 1), max_size=max_cuts, unique=True).map(sorted)
    octets = [data[index : index + 1] for index in range(len(data))]
    return st.one_of(st.just([data]), places.map(lambda chosen: _cut(data, chosen)), st.just(octets))


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
