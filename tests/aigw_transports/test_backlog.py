from __future__ import annotations

from aigw_transports._backlog import JOIN_BYTES, SLICE_BYTES, Backlog


def drain(backlog: Backlog) -> list[bytes]:
    blocks: list[bytes] = []
    while backlog:
        blocks.append(backlog.next_block())
    assert backlog.size_bytes == 0
    return blocks


def test_small_chunks_go_out_together() -> None:
    backlog = Backlog()
    assert not backlog
    backlog.extend([b"a", b"bc"])
    backlog.extend([b"d"])
    assert backlog.size_bytes == 4
    assert drain(backlog) == [b"abcd"]


def test_as_many_as_are_worth_it() -> None:
    backlog = Backlog()
    backlog.extend([b"x" * 30_000] * 5)
    assert [len(block) for block in drain(backlog)] == [60_000, 60_000, 30_000]
    backlog.extend([b"x" * JOIN_BYTES, b"y"])
    assert [len(block) for block in drain(backlog)] == [JOIN_BYTES, 1]


def test_big_chunks_go_out_in_parts() -> None:
    chunk = bytes(range(256)) * 4096
    backlog = Backlog()
    backlog.extend([chunk, b"x", chunk + b"y"])
    blocks = drain(backlog)
    assert b"".join(blocks) == chunk + b"x" + chunk + b"y"
    assert [len(block) for block in blocks] == [*[SLICE_BYTES] * 4, 1, *[SLICE_BYTES] * 4, 1]


def test_one_of_the_size_of_a_part_is_not_copied() -> None:
    chunk = bytes(SLICE_BYTES)
    backlog = Backlog()
    backlog.extend([chunk])
    assert backlog.next_block() is chunk


def test_clearing_forgets_what_was_begun() -> None:
    backlog = Backlog()
    backlog.extend([bytes(SLICE_BYTES + 1)])
    backlog.next_block()
    assert backlog.size_bytes == 1
    backlog.clear()
    assert not backlog
    backlog.extend([b"new" * SLICE_BYTES])
    assert backlog.next_block().startswith(b"new")
