from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.ws import IMPLEMENTATION
from aigw_proto.ws._payload import Collection, check_text, decode_text, slice_text, unmask_text
from aigw_proto.ws._violation import Violation
from support.frames import KEY, mask

BAD_TEXTS = [
    (b"\xff", "invalid start byte"),
    (b"ok\xc3(", "invalid continuation byte"),
    (b"a" * 100 + b"\xed\xa0\x80" + b"a" * 100, "invalid continuation byte"),
    (b"a\xf0\x9f\x98", "unexpected end of data"),
]


def masked(data: bytes) -> bytes:
    return b"header" + KEY + mask(data, KEY)


@given(text=st.text(max_size=200), padding=st.binary(max_size=9))
@settings(max_examples=100)
def test_text_of_a_whole_frame(text: str, padding: bytes) -> None:
    data = text.encode()
    assert decode_text(data) == text
    assert slice_text(padding + data + padding, len(padding), len(padding) + len(data)) == text
    wire = masked(data)
    assert unmask_text(wire + padding, 10, len(wire)) == text


@pytest.mark.parametrize("size", [*range(70), 511, 512, 513, 4096, 65537])
def test_text_of_every_size_with_and_without_a_wide_character(size: int) -> None:
    ascii_only = "".join(chr(0x20 + at % 95) for at in range(size))
    for text in (ascii_only, ascii_only[:-1] + "é" if size else "é", "é" + ascii_only):
        data = text.encode()
        for decoded in (slice_text(data, 0, len(data)), unmask_text(masked(data), 10, 10 + len(data))):
            assert decoded == text
            assert decoded.isascii() == text.isascii()
            assert hash(decoded) == hash(text)


@pytest.mark.parametrize(("data", "reason"), BAD_TEXTS)
def test_what_is_no_text(data: bytes, reason: str) -> None:
    wire = masked(data)
    attempts: list[Callable[[], object]] = [
        lambda: decode_text(data),
        lambda: slice_text(data, 0, len(data)),
        lambda: unmask_text(wire, 10, len(wire)),
        lambda: check_text(data, True),
        lambda: joined([data], is_text=True),
    ]
    for attempt in attempts:
        with pytest.raises(Violation) as caught:
            attempt()
        assert (caught.value.code, caught.value.reason) == (1007, f"text is not UTF-8: {reason}")


def test_a_part_of_a_text() -> None:
    assert check_text(b"caf\xc3", False) == b"\xc3"
    assert check_text("café".encode(), False) == b""
    assert check_text("café".encode(), True) == b""
    assert check_text(b"\xed\x9f", False) == b"\xed\x9f"
    with pytest.raises(Violation) as caught:
        check_text(b"a\xed\xa0", False)
    assert caught.value.reason == "text is not UTF-8: surrogate"


EDGES = bytes.fromhex("007f808f909fa0bfc0c1c2dfe0eceeeff0f3f4f5ff") + b"\xed"


def what_is_wrong(data: bytes) -> str | None:
    """What Python's own decoder says of a text that may go on."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return "surrogate" if data[error.start :] in (b"\xed\xa0", b"\xed\xbf") else error.reason
    return None


@pytest.mark.parametrize("padding", [b"", b"padding", "é€😀".encode() + b"eight..."])
@pytest.mark.parametrize("lead", [b"a", b"\xf0", b"\xf1", b"\xf3", b"\xf4", b"\xf5"])
def test_the_edges_of_what_is_well_formed(lead: bytes, padding: bytes) -> None:
    for octets in itertools.product(EDGES, repeat=3):
        data = lead + bytes(octets) + padding
        reason = what_is_wrong(data)
        if reason is None:
            cut = check_text(data, False)
            assert data.endswith(cut)
            assert what_is_wrong(cut) is None
            assert len(data[: len(data) - len(cut)].decode()) >= 1
            continue
        with pytest.raises(Violation) as caught:
            check_text(data, False)
        assert caught.value.reason == f"text is not UTF-8: {reason}"


def add(collection: Collection, parts: list[bytes], *, key: bytes = b"") -> None:
    """Add parts of one masked payload, each somewhere in a read."""
    offset = 0
    for index, part in enumerate(parts):
        coming = sum(map(len, parts[index + 1 :]))
        data = mask(part, key, offset) if key else part
        collection.add(b"read" + data + b"more", 4, 4 + len(data), key, offset, coming, index % 2 == 0 or not coming)
        offset += len(part)


def joined(parts: list[bytes], *, is_text: bool, key: bytes = b"") -> bytes | str:
    collection = Collection()
    collection.begin(is_text)
    add(collection, parts, key=key)
    assert collection.size == sum(map(len, parts))
    whole = collection.text() if is_text else collection.octets()
    assert collection.size == 0
    return whole


@given(
    text=st.one_of(st.text(max_size=60), st.text(st.characters(max_codepoint=127), max_size=400)),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    key=st.sampled_from([b"", KEY, b"\x00\x00\x00\x00"]),
)
@settings(max_examples=150)
def test_parts_make_the_whole(text: str, cuts: list[int], key: bytes) -> None:
    data = text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(places)]
    assert joined(parts, is_text=True, key=key) == text
    assert joined(parts, is_text=False, key=key) == data


@pytest.mark.parametrize("sizes", [[1] * 300, [65536] * 4, [1, 100_000, 3], [70_000, 0, 1], [0], []])
def test_parts_of_any_size(sizes: list[int]) -> None:
    data = bytes(0x20 + at % 95 for at in range(sum(sizes)))
    places = [0, *itertools.accumulate(sizes)]
    parts = [data[start:end] for start, end in itertools.pairwise(places)]
    assert joined(parts, is_text=False, key=KEY) == data
    assert joined(parts, is_text=True, key=KEY) == data.decode()
    assert joined([*parts, "é".encode(), b"!"], is_text=True) == data.decode() + "é!"


def test_one_collection_serves_many_messages() -> None:
    collection = Collection()
    for _ in range(3):
        collection.begin(True)
        add(collection, [b"caf\xc3", b"\xa9"])
        assert collection.text() == "café"
        add(collection, [b"next ", b"text"])
        assert collection.text() == "next text"
        assert collection.text() == ""
        add(collection, ["é".encode(), b"?"])
        assert collection.octets() == "é?".encode()
        collection.begin(False)
        add(collection, [b"\xff", b"\x00"])
        assert collection.octets() == b"\xff\x00"
        assert collection.octets() == b""
        add(collection, ["é".encode()])
        assert collection.text() == "é"
        add(collection, [b"dropped"])
        collection.discard()
        assert collection.size == 0


def test_what_was_handed_out_stays() -> None:
    collection = Collection()
    handed_out: list[str | bytes] = []
    for is_text in (True, False, True, False):
        collection.begin(is_text)
        add(collection, [b"same", b" words"])
        handed_out.append(collection.text() if is_text else collection.octets())
    assert handed_out == ["same words", b"same words"] * 2


def test_text_fails_with_the_part_that_cannot_belong_to_it() -> None:
    collection = Collection()
    collection.begin(True)
    collection.add(b"ok\xe2\x82", 0, 4, b"", 0, 9, True)
    with pytest.raises(Violation):
        collection.add(b"(", 0, 1, b"", 4, 8, True)
    collection.begin(True)
    collection.add(b"\xed", 0, 1, b"", 0, 0, False)
    with pytest.raises(Violation) as caught:
        collection.add(b"\xa0", 0, 1, b"", 0, 0, False)
    assert caught.value.reason == "text is not UTF-8: surrogate"
    collection.begin(True)
    collection.add(b"\xc3", 0, 1, b"", 0, 0, True)
    with pytest.raises(Violation):
        collection.text()


@pytest.mark.parametrize("is_text", [True, False])
def test_memory_follows_what_has_come(is_text: bool) -> None:
    collection = Collection()
    collection.begin(is_text)
    part = b"a" * 10_000
    tracemalloc.start()
    for count in range(1, 20):
        collection.add(part, 0, len(part), b"", 0, (1 << 63) - 1, True)
        assert tracemalloc.get_traced_memory()[0] < 4 * count * len(part) + 2000
    tracemalloc.stop()


@pytest.mark.skipif(IMPLEMENTATION == "pure", reason="Python checks by itself")
def test_no_index_leads_outside() -> None:
    collection = Collection()
    for start, end in ((-1, 2), (2, 1), (0, 5), (5, 6)):
        with pytest.raises(IndexError):
            slice_text(b"text", start, end)
        with pytest.raises(IndexError):
            unmask_text(b"text", start, end)
        with pytest.raises(IndexError):
            collection.add(b"text", start, end, b"", 0, 0, True)
    with pytest.raises(IndexError):
        unmask_text(b"keytext", 3, 7)
    with pytest.raises(IndexError):
        collection.add(b"text", 0, 4, b"key", 0, 0, True)
    with pytest.raises(IndexError):
        collection.add(b"text", 0, 4, b"", 0, -1, True)
    assert collection.octets() == b""
